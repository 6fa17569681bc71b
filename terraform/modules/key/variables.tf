variable "name" {
  description = "Name of the key's alias, without `alias/`."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9/-]{2,60}$", var.name)) && !startswith(var.name, "aws")
    error_message = "name must be 3 to 61 lower-case letters, digits, slashes or dashes, and not start with aws, which AWS keeps."
  }
}

variable "description" {
  description = "What the key protects, for whoever reads the console."
  type        = string

  validation {
    condition     = length(var.description) >= 10
    error_message = "description must say what the key protects, in ten characters or more."
  }
}

variable "account_id" {
  description = "Account whose IAM policies may delegate the use of the key."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "account_id must be twelve digits."
  }
}

variable "services" {
  description = "AWS services that use the key in their own name, by statement id; each is bound by one condition."
  type = map(object({
    principal = string
    actions   = list(string)
    condition = object({
      test     = string
      variable = string
      values   = list(string)
    })
  }))
  default = {}

  validation {
    condition     = alltrue([for service in values(var.services) : endswith(service.principal, ".amazonaws.com")])
    error_message = "Each service's principal must end in .amazonaws.com."
  }

  validation {
    condition     = alltrue([for service in values(var.services) : length(service.condition.values) > 0])
    error_message = "Each service must be bound by a condition with at least one value."
  }
}

variable "protected" {
  description = "Whether Terraform refuses to destroy the key, since what it encrypts must outlive the environment."
  type        = bool
  default     = false
  nullable    = false
}

variable "disk_region" {
  description = "Region in which EC2 uses the key for disks; null for a key of no disk."
  type        = string
  default     = null

  validation {
    condition     = var.disk_region == null ? true : can(regex("^[a-z]{2}-[a-z]+-[0-9]$", var.disk_region))
    error_message = "disk_region must look like eu-central-1, or be null."
  }
}
