variable "name" {
  description = "Prefix of every name in the network."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,40}$", var.name))
    error_message = "name must be 3 to 41 lower-case letters, digits or dashes."
  }
}

variable "account_id" {
  description = "Account of the network."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "account_id must be twelve digits."
  }
}

variable "region" {
  description = "Region of the network."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}-[a-z]+-[0-9]$", var.region))
    error_message = "region must look like eu-central-1."
  }
}

variable "cidr" {
  description = "IPv4 range of the network."
  type        = string

  validation {
    condition     = can(cidrhost(var.cidr, 0)) && can(regex("^(10|172|192)\\.", var.cidr)) && endswith(var.cidr, "/16")
    error_message = "cidr must be a private range of size /16."
  }
}

variable "zones" {
  description = "Number of availability zones."
  type        = number

  validation {
    condition     = var.zones >= 2 && var.zones <= 4
    error_message = "zones must be 2 to 4; EKS and RDS need two."
  }
}

variable "egress" {
  description = "NAT gateways through which the private subnets reach the internet: none, one for all zones, or one in each-zone."
  type        = string

  validation {
    condition     = contains(["none", "one", "each-zone"], var.egress)
    error_message = "egress must be none, one or each-zone."
  }
}

variable "endpoints" {
  description = "AWS services reached by an interface endpoint, by the last part of the endpoint's name."
  type        = set(string)

  validation {
    condition     = alltrue([for name in ["ecr.api", "ecr.dkr", "sts"] : contains(var.endpoints, name)])
    error_message = "endpoints must hold at least ecr.api, ecr.dkr and sts: nodes pull images and pods take their roles through them."
  }
}

variable "flow_log_days" {
  description = "Days that flow logs are kept."
  type        = number

  validation {
    condition     = contains([30, 60, 90, 120, 180, 365, 400, 545, 731], var.flow_log_days)
    error_message = "flow_log_days must be one of 30, 60, 90, 120, 180, 365, 400, 545, 731."
  }
}

variable "key_arn" {
  description = "KMS key that encrypts the flow logs."
  type        = string

  validation {
    condition     = startswith(var.key_arn, "arn:aws:kms:")
    error_message = "key_arn must be the ARN of a KMS key."
  }
}

variable "boundary_arn" {
  description = "Permission boundary of the role that writes flow logs."
  type        = string

  validation {
    condition     = startswith(var.boundary_arn, "arn:aws:iam::")
    error_message = "boundary_arn must be the ARN of an IAM policy."
  }
}
