variable "folder" {
  description = "Folder of the models' rooms, from this module; each folder in it with a problem.yaml is a model."
  type        = string
  default     = "../../../bentos"

  validation {
    condition     = length(fileset("${path.module}/${var.folder}", "*/problem.yaml")) > 0
    error_message = "folder must hold at least one model: a folder with a problem.yaml."
  }
}
