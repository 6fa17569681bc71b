output "service_role_arns" {
  description = "Roles of the services, by model, for their service accounts' annotation."
  value       = { for model, role in module.service : model => role.arn }
}

output "training_role_arns" {
  description = "Roles of the training pipelines, by model."
  value       = { for model, role in module.training : model => role.arn }
}

output "training_role_prefix" {
  description = "What the ARN of a training role is before the model's name: the variable AWS_TRAINING_ROLES of the GitHub environment `training`."
  value       = "arn:aws:iam::${var.context.account_id}:role${local.path}${local.name}-training-"
}

output "training_service_accounts" {
  description = "Service accounts that take the roles of the training pipelines, by model."
  value       = { for model in module.rooms.models : model => "training-${model}" }
}

output "monitoring_role_arns" {
  description = "Roles of the monitoring pipelines, by model."
  value       = { for model, role in module.monitoring : model => role.arn }
}

output "tracking_role_arn" {
  description = "Role of the MLflow server."
  value       = module.server["tracking"].arn
}

output "server_role_arns" {
  description = "Roles of what runs beside the models: the ZenML server and the cluster's autoscaler."
  value       = { zenml = module.server["orchestration"].arn, autoscaler = module.server["autoscaling"].arn }
}

output "github_role_arns" {
  description = "Roles of the workflows: plan and apply."
  value       = { plan = module.plan.arn, apply = module.apply.arn }
}

output "break_glass_role_arn" {
  description = "Role for an emergency; an alarm watches it."
  value       = module.break_glass.arn
}

output "namespaces" {
  description = "Kubernetes namespaces that the roles are bound to."
  value       = var.namespaces
}
