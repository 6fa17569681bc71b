output "name" {
  description = "Name of the bucket, once its policy stands too: S3 refuses to deliver access logs to a bucket that doesn't let it."
  value       = local.id
  depends_on  = [aws_s3_bucket_policy.this]
}

output "arn" {
  description = "ARN of the bucket."
  value       = local.arn
}
