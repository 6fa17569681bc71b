variable "access_log_days" {
  description = "Days that the state bucket's access logs are kept."
  type        = number

  validation {
    condition     = var.access_log_days >= 90
    error_message = "access_log_days must be at least 90."
  }
}
