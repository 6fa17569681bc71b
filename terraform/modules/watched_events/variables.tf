variable "apply_role_arn" {
  description = "Role that Terraform's own runs have: what it changes in a merge raises no alarm where a change is all there is to tell."
  type        = string

  validation {
    condition     = startswith(var.apply_role_arn, "arn:aws:iam::")
    error_message = "apply_role_arn must be the ARN of an IAM role."
  }
}

variable "break_glass_role_arn" {
  description = "Role for an emergency, whose every use raises an alarm."
  type        = string

  validation {
    condition     = startswith(var.break_glass_role_arn, "arn:aws:iam::")
    error_message = "break_glass_role_arn must be the ARN of an IAM role."
  }
}
