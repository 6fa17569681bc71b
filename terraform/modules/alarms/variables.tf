variable "name" {
  description = "Name of what the module makes, and prefix of what belongs to it."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,60}$", var.name))
    error_message = "name must be 3 to 61 lower-case letters, digits or dashes."
  }
}

variable "topic_arn" {
  description = "Topic that alarms are sent to."
  type        = string

  validation {
    condition     = startswith(var.topic_arn, "arn:aws:sns:")
    error_message = "topic_arn must be the ARN of an SNS topic."
  }
}

variable "log_group_name" {
  description = "Log group of the audit trail."
  type        = string

  validation {
    condition     = startswith(var.log_group_name, "/")
    error_message = "log_group_name must start with a slash."
  }
}

variable "events" {
  description = "What in the trail raises an alarm at its first occurrence, by name."
  type = map(object({
    description = string
    pattern     = string
  }))

  validation {
    condition     = length(var.events) > 0 && alltrue([for event in values(var.events) : startswith(event.pattern, "{")])
    error_message = "events must hold at least one JSON filter pattern."
  }
}

variable "metrics" {
  description = "Metrics that raise an alarm after fifteen minutes beyond their threshold, by name."
  type = map(object({
    description = string
    namespace   = string
    metric      = string
    dimensions  = map(string)
    statistic   = string
    comparison  = string
    threshold   = number
  }))

  validation {
    condition     = alltrue([for metric in values(var.metrics) : contains(["Average", "Maximum", "Minimum", "Sum"], metric.statistic)])
    error_message = "Each metric's statistic must be Average, Maximum, Minimum or Sum."
  }
}
