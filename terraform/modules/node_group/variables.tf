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

variable "purpose" {
  description = "What runs on the nodes: system, serving or training. All but system are tainted with it."
  type        = string

  validation {
    condition     = contains(["system", "serving", "training"], var.purpose)
    error_message = "purpose must be system, serving or training."
  }
}

variable "cluster_name" {
  description = "Cluster that the nodes join."
  type        = string

  validation {
    condition     = length(var.cluster_name) >= 3
    error_message = "cluster_name must name a cluster."
  }
}

variable "role_arn" {
  description = "Role of the nodes."
  type        = string

  validation {
    condition     = can(regex("^arn:aws:iam::[0-9]{12}:role/", var.role_arn))
    error_message = "role_arn must be the ARN of a role."
  }
}

variable "subnet_ids" {
  description = "Private subnets of the nodes."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) >= 2
    error_message = "subnet_ids must hold two subnets or more."
  }
}

variable "instance_types" {
  description = "Instance types; several give spot more to choose from."
  type        = list(string)

  validation {
    condition     = length(var.instance_types) > 0 && alltrue([for type in var.instance_types : can(regex("^[a-z0-9]+\\.[a-z0-9]+$", type))])
    error_message = "instance_types must hold at least one type like m7i.large."
  }
}

variable "spot" {
  description = "Whether the nodes are spot instances, which AWS may take back."
  type        = bool
  nullable    = false
}

variable "disk_gb" {
  description = "Size of each node's disk, in GB."
  type        = number

  validation {
    condition     = var.disk_gb >= 20 && var.disk_gb <= 1000
    error_message = "disk_gb must be 20 to 1000."
  }
}

variable "size" {
  description = "Least and most number of nodes."
  type = object({
    least = number
    most  = number
  })

  validation {
    condition     = var.size.least >= 0 && var.size.most >= 1 && var.size.least <= var.size.most
    error_message = "size must have 0 <= least <= most, and most at least 1."
  }
}
