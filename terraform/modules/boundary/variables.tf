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

variable "description" {
  description = "Which roles the boundary is for."
  type        = string

  validation {
    condition     = length(var.description) >= 10
    error_message = "description must say which roles the boundary is for, in ten characters or more."
  }
}

variable "actions" {
  description = "The most that a role under the boundary can do; verbs may end in a wildcard, a whole service may not."
  type        = list(string)

  validation {
    condition     = length(var.actions) > 0 && alltrue([for action in var.actions : can(regex("^[a-z0-9-]+:[A-Z][A-Za-z]+\\*?$", action))])
    error_message = "Each action must be service:Verb or service:Verb*."
  }
}
