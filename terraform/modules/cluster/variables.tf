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

variable "log_key_arn" {
  description = "KMS key that encrypts the control plane's logs."
  type        = string

  validation {
    condition     = startswith(var.log_key_arn, "arn:aws:kms:")
    error_message = "log_key_arn must be the ARN of a KMS key."
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

variable "kubernetes_version" {
  description = "Kubernetes version of the control plane, major and minor."
  type        = string

  validation {
    condition     = can(regex("^1\\.[0-9]{2}$", var.kubernetes_version))
    error_message = "kubernetes_version must look like 1.33."
  }
}

variable "subnet_ids" {
  description = "Private subnets of the cluster."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) >= 2
    error_message = "subnet_ids must hold two subnets or more."
  }
}

variable "public_cidrs" {
  description = "Ranges that reach the Kubernetes API from outside; empty for a private endpoint only."
  type        = list(string)

  validation {
    condition     = alltrue([for cidr in var.public_cidrs : can(cidrhost(cidr, 0)) && tonumber(split("/", cidr)[1]) >= 24])
    error_message = "public_cidrs must be ranges of 256 addresses or fewer."
  }
}

variable "log_days" {
  description = "Days that the control plane's logs are kept."
  type        = number

  validation {
    condition     = contains([90, 120, 180, 365, 400, 545, 731], var.log_days)
    error_message = "log_days must be one of 90, 120, 180, 365, 400, 545, 731."
  }
}

variable "addons" {
  description = "EKS add-ons and their exact versions."
  type        = map(string)

  validation {
    condition     = alltrue([for version in values(var.addons) : can(regex("^v[0-9]+\\.[0-9]+\\.[0-9]+-eksbuild\\.[0-9]+$", version))])
    error_message = "Each add-on's version must be exact, like v1.19.2-eksbuild.1."
  }
}
