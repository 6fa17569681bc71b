variable "name" {
  description = "Name of the bucket."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.name))
    error_message = "name must be 3 to 63 lower-case letters, digits or dashes."
  }
}

variable "purpose" {
  description = "What the bucket holds; policies and the access matrix go by it."
  type        = string

  validation {
    condition     = contains(["access-logs", "data", "evidence", "mlflow", "predictions", "reports", "state", "trail", "zenml"], var.purpose)
    error_message = "purpose must be one of access-logs, data, evidence, mlflow, predictions, reports, state, trail, zenml."
  }
}

variable "data_class" {
  description = "Class of the data: `internal`, `confidential`, or `personal` where masked personal data may be."
  type        = string

  validation {
    condition     = contains(["internal", "confidential", "personal"], var.data_class)
    error_message = "data_class must be internal, confidential or personal."
  }
}

variable "key_arn" {
  description = "KMS key that encrypts the objects; null only for the bucket of access logs, for which S3 supports none."
  type        = string

  validation {
    condition     = var.key_arn == null ? var.purpose == "access-logs" : startswith(var.key_arn, "arn:aws:kms:")
    error_message = "key_arn must be the ARN of a KMS key; only a bucket of access logs may have none."
  }
}

variable "access_log_bucket" {
  description = "Bucket that access logs are delivered to; null only for the bucket of access logs itself."
  type        = string

  validation {
    condition     = var.access_log_bucket == null ? var.purpose == "access-logs" : length(var.access_log_bucket) >= 3
    error_message = "access_log_bucket must name a bucket; only a bucket of access logs may have none."
  }
}

variable "account_id" {
  description = "Account whose buckets deliver their access logs here; null but for a bucket of access logs."
  type        = string
  default     = null

  validation {
    condition     = var.account_id == null ? var.purpose != "access-logs" : can(regex("^[0-9]{12}$", var.account_id))
    error_message = "account_id must be twelve digits; a bucket of access logs must have one."
  }
}

variable "protected" {
  description = "Whether Terraform refuses to destroy the bucket; evidence, trail and state must be."
  type        = bool
  default     = false

  validation {
    condition     = var.protected || !contains(["evidence", "state", "trail"], var.purpose)
    error_message = "A bucket of evidence, state or trail must be protected."
  }
}

variable "retention" {
  description = "Default object lock of new objects; null for no object lock. Evidence must have one."
  type = object({
    mode = string
    days = number
  })
  default = null

  validation {
    condition     = var.retention == null ? var.purpose != "evidence" : contains(["GOVERNANCE", "COMPLIANCE"], var.retention.mode) && var.retention.days >= 1
    error_message = "retention must have mode GOVERNANCE or COMPLIANCE and at least one day; a bucket of evidence must have one."
  }
}

variable "noncurrent_days" {
  description = "Days after which overwritten or deleted versions are removed."
  type        = number
  default     = 90

  validation {
    condition     = var.noncurrent_days >= 7 && var.noncurrent_days <= 3650
    error_message = "noncurrent_days must be 7 to 3650."
  }
}

variable "expire_days" {
  description = "Days after which objects expire; null keeps them."
  type        = number
  default     = null

  validation {
    condition     = var.expire_days == null ? true : var.expire_days >= 7
    error_message = "expire_days must be at least 7, or null."
  }
}

variable "policy_documents" {
  description = "Bucket policy documents (JSON) to add to the TLS-only one."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for document in var.policy_documents : can(jsondecode(document).Statement)])
    error_message = "Each document must be a JSON policy with a Statement."
  }
}
