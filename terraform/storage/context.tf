# The same file, byte for byte, in every root: what they share, and how they reach AWS. A test compares them.
terraform {
  required_version = "~> 1.11.4"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "5.100.0"
    }
  }
}

variable "context" {
  description = "What every root of an environment shares; set once, in environments/<environment>/context.tfvars."
  type = object({
    project      = string
    environment  = string
    region       = string
    account_id   = string
    owner        = string
    cost_center  = string
    state_bucket = string
  })

  validation {
    condition     = can(regex("^[a-z][a-z0-9]{2,15}$", var.context.project))
    error_message = "context.project must be 3 to 16 lower-case letters or digits."
  }

  validation {
    condition     = can(regex("^[a-z][a-z0-9]{1,15}$", var.context.environment))
    error_message = "context.environment must be 2 to 16 lower-case letters or digits."
  }

  validation {
    condition     = can(regex("^[a-z]{2}-[a-z]+-[0-9]$", var.context.region))
    error_message = "context.region must look like eu-central-1."
  }

  validation {
    condition     = can(regex("^[0-9]{12}$", var.context.account_id))
    error_message = "context.account_id must be twelve digits."
  }

  validation {
    condition     = length(var.context.owner) > 0 && length(var.context.cost_center) > 0
    error_message = "context.owner and context.cost_center must say who answers for the cost."
  }

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.context.state_bucket))
    error_message = "context.state_bucket must be 3 to 63 lower-case letters, digits or dashes."
  }
}

locals {
  name = "${var.context.project}-${var.context.environment}"
  tags = {
    project     = var.context.project
    environment = var.context.environment
    owner       = var.context.owner
    cost-center = var.context.cost_center
    managed-by  = "terraform"
    root        = basename(abspath(path.root))
  }
}

provider "aws" {
  region              = var.context.region
  allowed_account_ids = [var.context.account_id]

  default_tags {
    tags = local.tags
  }
}
