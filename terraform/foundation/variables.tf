variable "network" {
  description = "The network: its range, its zones, its NAT gateways (none, one, each-zone), and the AWS services it has endpoints for."
  type = object({
    cidr      = string
    zones     = number
    egress    = string
    endpoints = set(string)
  })

  validation {
    condition     = can(cidrhost(var.network.cidr, 0)) && endswith(var.network.cidr, "/16")
    error_message = "network.cidr must be a range of size /16."
  }

  validation {
    condition     = var.network.zones >= 2 && var.network.zones <= 4
    error_message = "network.zones must be 2 to 4."
  }

  validation {
    condition     = contains(["none", "one", "each-zone"], var.network.egress)
    error_message = "network.egress must be none, one or each-zone."
  }
}

variable "log_days" {
  description = "Days that flow logs, access logs and the searchable trail are kept."
  type        = number

  validation {
    condition     = contains([90, 120, 180, 365, 400, 545, 731], var.log_days)
    error_message = "log_days must be one of 90, 120, 180, 365, 400, 545, 731."
  }
}

variable "trail_retention_days" {
  description = "Days that nobody without a bypass can delete a record of the audit trail."
  type        = number

  validation {
    condition     = var.trail_retention_days >= 180
    error_message = "trail_retention_days must be at least 180."
  }
}

variable "budget" {
  description = "What the account may cost in a month, in US dollars, and who is told when it nears that."
  type = object({
    monthly_usd = number
    emails      = set(string)
  })

  validation {
    condition     = var.budget.monthly_usd > 0 && length(var.budget.emails) > 0
    error_message = "budget must have a monthly_usd above 0 and at least one address."
  }
}
