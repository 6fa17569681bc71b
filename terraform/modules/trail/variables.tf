variable "name" {
  description = "Name of what the module makes, and prefix of what belongs to it."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,60}$", var.name))
    error_message = "name must be 3 to 61 lower-case letters, digits or dashes."
  }
}

variable "account_id" {
  description = "Account the resources stand in."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "account_id must be twelve digits."
  }
}

variable "region" {
  description = "Region the resources stand in."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}-[a-z]+-[0-9]$", var.region))
    error_message = "region must look like eu-central-1."
  }
}

variable "path" {
  description = "IAM path of every role the module makes."
  type        = string

  validation {
    condition     = can(regex("^/[a-z0-9-]+/$", var.path))
    error_message = "path must be one name between two slashes."
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

variable "boundary_arn" {
  description = "Permission boundary of every role the module makes."
  type        = string

  validation {
    condition     = startswith(var.boundary_arn, "arn:aws:iam::")
    error_message = "boundary_arn must be the ARN of an IAM policy."
  }
}

variable "bucket_name" {
  description = "Name of the bucket that keeps the trail."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.bucket_name))
    error_message = "bucket_name must be 3 to 63 lower-case letters, digits or dashes."
  }
}

variable "access_log_bucket" {
  description = "Bucket that the trail bucket's access logs go to."
  type        = string

  validation {
    condition     = length(var.access_log_bucket) >= 3
    error_message = "access_log_bucket must name a bucket."
  }
}

variable "recorded_buckets" {
  description = "Buckets of which every read and write of an object is recorded."
  type        = list(string)

  validation {
    condition     = length(var.recorded_buckets) > 0 && length(var.recorded_buckets) <= 250
    error_message = "recorded_buckets must name 1 to 250 buckets; CloudTrail takes no more."
  }
}

variable "retention_days" {
  description = "Days that nobody without a bypass can delete a record of the trail."
  type        = number

  validation {
    condition     = var.retention_days >= 180
    error_message = "retention_days must be at least 180, the six months for which the EU AI Act has logs kept (articles 19 and 26)."
  }
}

variable "log_days" {
  description = "Days that the trail is searchable in CloudWatch."
  type        = number

  validation {
    condition     = contains([90, 120, 180, 365, 400, 545, 731], var.log_days)
    error_message = "log_days must be one of 90, 120, 180, 365, 400, 545, 731."
  }
}
