variable "alarm_emails" {
  description = "Who alarms are sent to; each address has to confirm once."
  type        = set(string)

  validation {
    condition     = length(var.alarm_emails) > 0 && alltrue([for email in var.alarm_emails : can(regex("^[^@ ]+@[^@ ]+$", email))])
    error_message = "alarm_emails must hold at least one address."
  }
}

variable "log_days" {
  description = "Days that the services' logs are kept."
  type        = number

  validation {
    condition     = contains([180, 365, 400, 545, 731], var.log_days)
    error_message = "log_days must be one of 180, 365, 400, 545, 731: six months at least, for which the EU AI Act has logs kept."
  }
}
