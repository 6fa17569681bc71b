output "arn" {
  description = "ARN of the trail."
  value       = aws_cloudtrail.this.arn
}

output "log_group_name" {
  description = "Log group that the trail is searchable in; alarms filter it."
  value       = aws_cloudwatch_log_group.this.name
}

output "bucket_name" {
  description = "Bucket that keeps the trail."
  value       = module.bucket.name
}
