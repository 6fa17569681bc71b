variable "name" {
  description = "Name of what the module makes, and prefix of what belongs to it."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,60}$", var.name))
    error_message = "name must be 3 to 61 lower-case letters, digits or dashes."
  }
}

variable "path" {
  description = "IAM path of every role the module makes."
  type        = string

  validation {
    condition     = can(regex("^/[a-z0-9-]+/$", var.path))
    error_message = "path must be one name between two slashes."
  }
}

variable "boundary_arn" {
  description = "Permission boundary of every role the module makes."
  type        = string

  validation {
    condition     = startswith(var.boundary_arn, "arn:aws:iam::")
    error_message = "boundary_arn must be the ARN of an IAM policy."
  }
}

variable "description" {
  description = "What the workload does."
  type        = string

  validation {
    condition     = length(var.description) >= 10
    error_message = "description must say what the workload does, in ten characters or more."
  }
}

variable "workload" {
  description = "Kind of workload: service, training, monitoring, tracking, orchestration or autoscaling."
  type        = string

  validation {
    condition     = contains(["service", "training", "monitoring", "tracking", "orchestration", "autoscaling"], var.workload)
    error_message = "workload must be service, training, monitoring, tracking, orchestration or autoscaling."
  }
}

variable "model" {
  description = "Model whose data the workload may touch; the policies go by this tag of the role. Null for a workload of no model."
  type        = string
  default     = null

  validation {
    condition     = var.model == null ? !contains(["service", "training", "monitoring"], var.workload) : can(regex("^[a-z][a-z0-9-]{0,39}$", var.model))
    error_message = "model must be a lower-case name of at most 40 characters; a service, training or monitoring has one."
  }
}

variable "oidc_provider_arn" {
  description = "Identity provider of the cluster that the workload runs in."
  type        = string

  validation {
    condition     = can(regex("^arn:aws:iam::[0-9]{12}:oidc-provider/", var.oidc_provider_arn))
    error_message = "oidc_provider_arn must be the ARN of an OIDC provider."
  }
}

variable "oidc_issuer" {
  description = "Issuer of that provider, without https://."
  type        = string

  validation {
    condition     = length(var.oidc_issuer) > 0 && !startswith(var.oidc_issuer, "https://")
    error_message = "oidc_issuer must be given without https://."
  }
}

variable "namespace" {
  description = "Kubernetes namespace of the workload."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,62}$", var.namespace))
    error_message = "namespace must be a Kubernetes name, without a wildcard."
  }
}

variable "service_account" {
  description = "Kubernetes service account of the workload; no other takes the role."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,62}$", var.service_account))
    error_message = "service_account must be a Kubernetes name, without a wildcard."
  }
}

variable "policy_arn" {
  description = "The one policy of the workload."
  type        = string

  validation {
    condition     = can(regex("^arn:aws:iam::[0-9]{12}:policy/", var.policy_arn))
    error_message = "policy_arn must be a policy of the account, not one that AWS manages."
  }
}

variable "workflow" {
  description = "Workflow on GitHub that takes the role as well: GitHub's identity provider, repository (owner/name), GitHub environment and branch. Null for none."
  type = object({
    provider_arn = string
    repository   = string
    environment  = string
    branch       = string
  })
  default = null

  validation {
    condition     = var.workflow == null ? true : can(regex("^arn:aws:iam::[0-9]{12}:oidc-provider/token\\.actions\\.githubusercontent\\.com$", var.workflow.provider_arn))
    error_message = "workflow.provider_arn must be the ARN of GitHub's provider."
  }

  validation {
    condition     = var.workflow == null ? true : can(regex("^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$", var.workflow.repository)) && can(regex("^[a-z][a-z0-9-]{1,40}$", var.workflow.environment)) && can(regex("^[A-Za-z0-9._/-]+$", var.workflow.branch))
    error_message = "workflow must name one repository, one GitHub environment and one branch, without a wildcard."
  }
}
