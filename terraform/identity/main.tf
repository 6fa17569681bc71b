locals {
  path = "/${local.name}/" # of roles and policies

  foundation = data.terraform_remote_state.foundation.outputs
  storage    = data.terraform_remote_state.storage.outputs
  oidc       = data.terraform_remote_state.cluster.outputs.oidc

  workload_boundary = local.foundation.boundary_arns["workload"]
  platform_boundary = local.foundation.boundary_arns["platform"]
}

module "rooms" {
  source = "../modules/rooms"
}

# The three roles of a model share their policies with those of every other model: what a role may touch is decided by
# its tag `model`, in policies.tf. One more model is three more roles and no more policy.
module "service" {
  source   = "../modules/workload_role"
  for_each = module.rooms.models

  name              = "${local.name}-service-${each.key}"
  path              = local.path
  description       = "Answers for ${each.key}: reads its artifacts, writes its prediction log."
  workload          = "service"
  model             = each.key
  namespace         = var.namespaces.services
  service_account   = "${each.key}-bento" # what kustomize makes of the base's account and the model's prefix
  policy_arn        = aws_iam_policy.this["service"].arn
  oidc_provider_arn = local.oidc.provider_arn
  oidc_issuer       = local.oidc.issuer
  boundary_arn      = local.workload_boundary
}

module "training" {
  source   = "../modules/workload_role"
  for_each = module.rooms.models

  name              = "${local.name}-training-${each.key}"
  path              = local.path
  description       = "Trains ${each.key}: reads its data, writes its artifacts, evidence and images."
  workload          = "training"
  model             = each.key
  namespace         = var.namespaces.pipelines
  service_account   = "training-${each.key}" # as the output training_service_accounts says
  workflow          = var.training_workflow ? local.training_workflow : null
  policy_arn        = aws_iam_policy.this["training"].arn
  oidc_provider_arn = local.oidc.provider_arn
  oidc_issuer       = local.oidc.issuer
  boundary_arn      = local.workload_boundary
}

module "monitoring" {
  source   = "../modules/workload_role"
  for_each = module.rooms.models

  name              = "${local.name}-monitoring-${each.key}"
  path              = local.path
  description       = "Watches ${each.key}: reads its prediction log, writes its reports."
  workload          = "monitoring"
  model             = each.key
  namespace         = var.namespaces.pipelines
  service_account   = "monitoring-${each.key}"
  policy_arn        = aws_iam_policy.this["monitoring"].arn
  oidc_provider_arn = local.oidc.provider_arn
  oidc_issuer       = local.oidc.issuer
  boundary_arn      = local.workload_boundary
}

# What runs beside the models.
module "server" {
  source   = "../modules/workload_role"
  for_each = local.servers

  name              = "${local.name}-${each.key}"
  path              = local.path
  description       = each.value.description
  workload          = each.key
  namespace         = each.value.namespace
  service_account   = each.value.service_account
  policy_arn        = aws_iam_policy.this[each.key].arn
  oidc_provider_arn = local.oidc.provider_arn
  oidc_issuer       = local.oidc.issuer
  boundary_arn      = each.value.boundary_arn
}

locals {
  # The job `release` of .github/workflows/train.yml.
  training_workflow = {
    provider_arn = aws_iam_openid_connect_provider.github.arn
    repository   = var.repository
    environment  = "training"
    branch       = "main"
  }

  servers = {
    tracking = {
      description     = "The MLflow server: serves the artifacts of every model."
      namespace       = var.namespaces.tracking
      service_account = "mlflow"
      boundary_arn    = local.workload_boundary
    }
    orchestration = {
      description     = "The ZenML server: reads the password of its own database."
      namespace       = var.namespaces.tracking
      service_account = "zenml"
      boundary_arn    = local.workload_boundary
    }
    autoscaling = {
      description     = "The cluster's autoscaler: makes and ends nodes of this cluster, within each group's limits."
      namespace       = "kube-system"
      service_account = "cluster-autoscaler"
      boundary_arn    = local.platform_boundary
    }
  }
}

moved {
  from = module.tracking
  to   = module.server["tracking"]
}

moved {
  from = module.orchestration
  to   = module.server["orchestration"]
}

moved {
  from = module.autoscaling
  to   = module.server["autoscaling"]
}
