output "arn" {
  description = "ARN of the key."
  value       = local.key.arn
}

output "alias" {
  description = "Alias of the key, with `alias/`."
  value       = aws_kms_alias.this.name
}
