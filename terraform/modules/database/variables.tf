variable "name" {
  description = "Name of what the module makes, and prefix of what belongs to it."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,60}$", var.name))
    error_message = "name must be 3 to 61 lower-case letters, digits or dashes."
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

variable "engine" {
  description = "Database engine: postgres or mysql."
  type        = string

  validation {
    condition     = contains(["postgres", "mysql"], var.engine)
    error_message = "engine must be postgres or mysql."
  }
}

variable "engine_version" {
  description = "Version of the engine; a major version alone takes minor ones as RDS brings them."
  type        = string

  validation {
    condition     = can(regex("^[0-9]+(\\.[0-9]+)*$", var.engine_version))
    error_message = "engine_version must be numbers with dots."
  }
}

variable "database" {
  description = "Name of the database made in the instance."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9_]{0,62}$", var.database))
    error_message = "database must be a lower-case name of at most 63 characters."
  }
}

variable "instance_class" {
  description = "Class of the instance."
  type        = string

  validation {
    condition     = can(regex("^db\\.[a-z0-9]+\\.[a-z0-9]+$", var.instance_class))
    error_message = "instance_class must look like db.t4g.medium."
  }

  validation {
    condition     = var.engine == "postgres" || !can(regex("^db\\.t[0-9]g?\\.(micro|small)$", var.instance_class))
    error_message = "MySQL on a micro or small instance has no Performance Insights: take db.t4g.medium."
  }
}

variable "storage_gb" {
  description = "Storage in GB to begin with; it grows by itself to five times that."
  type        = number

  validation {
    condition     = var.storage_gb >= 20 && var.storage_gb <= 4096
    error_message = "storage_gb must be 20 to 4096."
  }
}

variable "multi_az" {
  description = "Whether a standby stands in another zone."
  type        = bool
  nullable    = false
}

variable "backup_days" {
  description = "Days to which the database can be restored."
  type        = number

  validation {
    condition     = var.backup_days >= 7 && var.backup_days <= 35
    error_message = "backup_days must be 7 to 35."
  }
}

variable "deletion_protection" {
  description = "Whether RDS refuses to delete the instance."
  type        = bool
  nullable    = false
}

variable "log_days" {
  description = "Days that the instance's logs are kept."
  type        = number

  validation {
    condition     = contains([90, 120, 180, 365, 400, 545, 731], var.log_days)
    error_message = "log_days must be one of 90, 120, 180, 365, 400, 545, 731."
  }
}

variable "log_key_arn" {
  description = "Key that encrypts the instance's logs."
  type        = string

  validation {
    condition     = startswith(var.log_key_arn, "arn:aws:kms:")
    error_message = "log_key_arn must be the ARN of a KMS key."
  }
}

variable "vpc_id" {
  description = "Network the instance stands in."
  type        = string

  validation {
    condition     = startswith(var.vpc_id, "vpc-")
    error_message = "vpc_id must start with vpc-."
  }
}

variable "subnet_ids" {
  description = "Private subnets the instance may stand in."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) >= 2
    error_message = "subnet_ids must hold two subnets or more."
  }
}

variable "client_cidrs" {
  description = "Ranges that may connect."
  type        = list(string)

  validation {
    condition     = length(var.client_cidrs) > 0 && alltrue([for cidr in var.client_cidrs : can(regex("^(10|172|192)\\.", cidr)) && can(cidrhost(cidr, 0))])
    error_message = "client_cidrs must be private ranges."
  }
}
