output "address" {
  description = "Host of the database."
  value       = aws_db_instance.this.address
}

output "port" {
  description = "Port of the database."
  value       = local.ports[var.engine]
}

output "identifier" {
  description = "Identifier of the instance; alarms go by it."
  value       = aws_db_instance.this.identifier
}

output "secret_arn" {
  description = "Secret that holds the master user's name and password; only its ARN, never the secret."
  value       = one(aws_db_instance.this.master_user_secret[*].secret_arn)
}
