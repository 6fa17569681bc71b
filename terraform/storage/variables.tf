variable "retention_days" {
  description = "Days that ZenML's artifacts, the prediction logs and the databases' logs are kept."
  type = object({
    zenml       = number
    logs        = number
    predictions = number
  })

  validation {
    condition     = var.retention_days.predictions >= 180
    error_message = "retention_days.predictions must be at least 180, the six months for which the EU AI Act has logs kept (articles 19 and 26)."
  }

  validation {
    condition     = var.retention_days.zenml >= 30
    error_message = "retention_days.zenml must be at least 30."
  }
}

variable "evidence" {
  description = "Object lock on the evidence of releases: its mode and its days."
  type = object({
    mode = string
    days = number
  })

  validation {
    condition     = contains(["GOVERNANCE", "COMPLIANCE"], var.evidence.mode) && var.evidence.days >= 180
    error_message = "evidence.mode must be GOVERNANCE or COMPLIANCE, and evidence.days at least 180."
  }
}

variable "databases" {
  description = "Database instances by the application that they serve."
  type = map(object({
    engine              = string
    engine_version      = string
    instance_class      = string
    storage_gb          = number
    multi_az            = bool
    backup_days         = number
    deletion_protection = bool
  }))

  validation {
    condition     = alltrue([for name in ["mlflow", "zenml"] : contains(keys(var.databases), name)])
    error_message = "databases must have mlflow and zenml."
  }
}

variable "registry" {
  description = "Accounts that images are replicated to or from, by digest; null for none."
  type = object({
    replicate_to   = optional(string)
    replicate_from = optional(string)
  })
  default = {}

  validation {
    condition     = alltrue([for account in [var.registry.replicate_to, var.registry.replicate_from] : account == null ? true : can(regex("^[0-9]{12}$", account))])
    error_message = "registry's accounts must be twelve digits."
  }
}
