variable "repository" {
  description = "GitHub repository whose workflows plan and apply: owner/name."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$", var.repository))
    error_message = "repository must be owner/name."
  }
}

variable "training_workflow" {
  description = "Whether the workflow `train` takes the training roles, too, from main and the GitHub environment `training`: where models are trained on GitHub, and not only in the cluster."
  type        = bool

  validation {
    condition     = var.training_workflow != null
    error_message = "training_workflow must be true or false."
  }
}

variable "namespaces" {
  description = "Kubernetes namespaces: of the services, of the pipelines' pods, and of the MLflow server."
  type = object({
    services  = string
    pipelines = string
    tracking  = string
  })

  validation {
    condition     = alltrue([for name in values(var.namespaces) : can(regex("^[a-z][a-z0-9-]{0,62}$", name))])
    error_message = "namespaces must be Kubernetes names."
  }

  validation {
    condition     = length(distinct(values(var.namespaces))) == 3
    error_message = "namespaces must differ: a service account's name alone would not tell one workload from another."
  }
}

variable "cluster_administrators" {
  description = "Roles, each by its exact ARN, that administer the cluster: they install Argo CD and make namespaces."
  type        = list(string)

  validation {
    condition     = length(var.cluster_administrators) > 0 && alltrue([for arn in var.cluster_administrators : can(regex("^arn:aws:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]+$", arn))])
    error_message = "cluster_administrators must hold exact ARNs of roles, at least one; no account and no wildcard."
  }
}

variable "break_glass_principals" {
  description = "Roles or users, each by its exact ARN, that may take the break-glass role."
  type        = list(string)

  validation {
    condition     = length(var.break_glass_principals) > 0
    error_message = "break_glass_principals must name somebody."
  }
}
