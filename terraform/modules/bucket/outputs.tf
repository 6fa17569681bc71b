output "name" {
  description = "Name of the bucket, known once it exists."
  value       = local.id
}

output "arn" {
  description = "ARN of the bucket."
  value       = local.arn
}
