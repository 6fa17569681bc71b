output "models" {
  description = "The models: the names of the rooms."
  value       = toset([for file in fileset("${path.module}/${var.folder}", "*/problem.yaml") : dirname(file)])
}
