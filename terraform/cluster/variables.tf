variable "kubernetes" {
  description = "The cluster: version, add-ons with exact versions, who reaches its API from outside, and how long its logs are kept."
  type = object({
    version      = string
    addons       = map(string)
    public_cidrs = list(string)
    log_days     = number
  })

  validation {
    condition     = can(regex("^1\\.[0-9]{2}$", var.kubernetes.version))
    error_message = "kubernetes.version must look like 1.33."
  }
}

variable "node_groups" {
  description = "Node groups by purpose: system, serving, training."
  type = map(object({
    instance_types = list(string)
    spot           = bool
    disk_gb        = number
    size = object({
      least = number
      most  = number
    })
  }))

  validation {
    condition     = toset(keys(var.node_groups)) == toset(["serving", "system", "training"])
    error_message = "node_groups must be exactly serving, system and training."
  }

  validation {
    condition     = !var.node_groups["system"].spot
    error_message = "The system nodes can't be spot: what restarts the others runs on them."
  }
}
