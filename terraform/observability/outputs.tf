output "alarm_topic_arn" {
  description = "Topic that every alarm is sent to."
  value       = aws_sns_topic.alarms.arn
}

output "log_groups" {
  description = "Log groups of the services, by model."
  value       = { for model, group in aws_cloudwatch_log_group.service : model => group.name }
}

output "alarms" {
  description = "Names of all alarms."
  value       = module.alarms.names
}

output "watched_controls" {
  description = "Recommendations of the CIS AWS Foundations Benchmark 3.0 that an alarm is there for, with the event that raises it."
  value       = module.watched_events.controls
}
