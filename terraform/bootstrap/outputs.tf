output "state_bucket" {
  description = "Bucket that every root keeps its state in."
  value       = module.state.name
}

output "state_key_arn" {
  description = "KMS key of the state; whoever plans must be able to decrypt with it."
  value       = module.key.arn
}
