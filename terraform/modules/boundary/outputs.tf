output "arn" {
  description = "ARN of the boundary policy."
  value       = aws_iam_policy.this.arn
}
