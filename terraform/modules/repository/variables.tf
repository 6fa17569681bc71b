variable "name" {
  description = "Name of the repository, as releases write it: bakehouse/<model>."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]*/[a-z][a-z0-9-]*$", var.name))
    error_message = "name must be two lower-case names with a slash between them."
  }
}

variable "model" {
  description = "Model whose images it holds; access goes by this tag."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,39}$", var.model))
    error_message = "model must be a lower-case name of at most 40 characters."
  }
}

variable "key_arn" {
  description = "KMS key that encrypts what the module stores."
  type        = string

  validation {
    condition     = startswith(var.key_arn, "arn:aws:kms:")
    error_message = "key_arn must be the ARN of a KMS key."
  }
}

variable "untagged_days" {
  description = "Days after which an image without a tag is removed."
  type        = number
  default     = 14

  validation {
    condition     = var.untagged_days >= 1 && var.untagged_days <= 365
    error_message = "untagged_days must be 1 to 365."
  }
}
