variable "name" {
  description = "Name of what the module makes, and prefix of what belongs to it."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,60}$", var.name))
    error_message = "name must be 3 to 61 lower-case letters, digits or dashes."
  }
}

variable "monthly_usd" {
  description = "What the account may cost in a month, in US dollars."
  type        = number

  validation {
    condition     = var.monthly_usd > 0
    error_message = "monthly_usd must be above 0."
  }
}

variable "emails" {
  description = "Who is told at 80 % spent and at 100 % forecast."
  type        = set(string)

  validation {
    condition     = length(var.emails) > 0 && alltrue([for email in var.emails : can(regex("^[^@ ]+@[^@ ]+$", email))])
    error_message = "emails must hold at least one address."
  }
}
