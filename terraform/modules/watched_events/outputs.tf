output "events" {
  description = "What in the audit trail raises an alarm, by name: what it means, and the pattern that finds it."
  value = {
    for name, event in local.events : name => {
      description = event.control == null ? event.description : "${event.description} CIS AWS Foundations Benchmark 3.0: ${event.control}."
      pattern     = event.pattern
    }
  }
}

output "controls" {
  description = "Recommendations of the CIS AWS Foundations Benchmark 3.0 that an event watches for, with its name."
  value       = { for name, event in local.events : event.control => name if event.control != null }
}
