variable "name" {
  description = "Name of what the module makes, and prefix of what belongs to it."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,60}$", var.name))
    error_message = "name must be 3 to 61 lower-case letters, digits or dashes."
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

variable "boundary_arn" {
  description = "Permission boundary of every role the module makes."
  type        = string

  validation {
    condition     = startswith(var.boundary_arn, "arn:aws:iam::")
    error_message = "boundary_arn must be the ARN of an IAM policy."
  }
}

variable "principals" {
  description = "Roles or users, each by its exact ARN, that may take the role."
  type        = list(string)

  validation {
    condition     = length(var.principals) > 0 && alltrue([for arn in var.principals : can(regex("^arn:aws:iam::[0-9]{12}:(role|user)/[A-Za-z0-9+=,.@_/-]+$", arn))])
    error_message = "principals must hold exact ARNs of roles or users, at least one; no account and no wildcard."
  }
}

variable "policy" {
  description = "What the role may do, as a JSON policy document."
  type        = string

  validation {
    condition     = can(jsondecode(var.policy).Statement)
    error_message = "policy must be a JSON policy document."
  }
}
