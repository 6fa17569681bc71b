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
  description = "What the workflow does with the role."
  type        = string

  validation {
    condition     = length(var.description) >= 10
    error_message = "description must say what the workflow does, in ten characters or more."
  }
}

variable "workload" {
  description = "Kind of role: plan reads, apply writes."
  type        = string

  validation {
    condition     = contains(["plan", "apply"], var.workload)
    error_message = "workload must be plan or apply."
  }
}

variable "oidc_provider_arn" {
  description = "GitHub's identity provider in the account."
  type        = string

  validation {
    condition     = can(regex("^arn:aws:iam::[0-9]{12}:oidc-provider/token\\.actions\\.githubusercontent\\.com$", var.oidc_provider_arn))
    error_message = "oidc_provider_arn must be the ARN of GitHub's provider."
  }
}

variable "repository" {
  description = "Repository whose workflows take the role: owner/name."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$", var.repository))
    error_message = "repository must be owner/name, without a wildcard."
  }
}

variable "environment" {
  description = "GitHub environment that the job must name; its protection rules say who approves."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,40}$", var.environment))
    error_message = "environment must be a lower-case name, without a wildcard."
  }
}

variable "branch" {
  description = "Branch that the job must run on."
  type        = string
  default     = "main"

  validation {
    condition     = can(regex("^[A-Za-z0-9._/-]+$", var.branch))
    error_message = "branch must be exact, without a wildcard."
  }
}

variable "pull_requests" {
  description = "Whether jobs of pull requests take the role too; only a role that can't write may."
  type        = bool
  default     = false
  nullable    = false

  validation {
    condition     = !var.pull_requests || var.workload == "plan"
    error_message = "Only a plan role may be taken by a pull request."
  }
}

variable "policy_arns" {
  description = "Policies of the role, by a name that says what for."
  type        = map(string)

  validation {
    condition     = length(var.policy_arns) > 0 && alltrue([for arn in values(var.policy_arns) : can(regex("^arn:aws:iam::[0-9]{12}:policy/", arn))])
    error_message = "policy_arns must hold policies of the account, at least one."
  }
}

variable "session_seconds" {
  description = "How long the role can be held at most."
  type        = number
  default     = 3600

  validation {
    condition     = var.session_seconds >= 3600 && var.session_seconds <= 7200
    error_message = "session_seconds must be 3600 to 7200."
  }
}
