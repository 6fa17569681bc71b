module "workload_boundary" {
  source = "../modules/boundary"

  name        = "workload-boundary"
  path        = local.path
  description = "The most that a pod's role can do, in ${local.name}."
  account_id  = var.context.account_id
  region      = var.context.region
  actions     = local.workload_actions
}

module "platform_boundary" {
  source = "../modules/boundary"

  name        = "platform-boundary"
  path        = local.path
  description = "The most that the roles of AWS services, of workflows and of people can do, in ${local.name}."
  account_id  = var.context.account_id
  region      = var.context.region
  actions     = local.platform_actions
}

module "network" {
  source = "../modules/network"

  name          = local.name
  account_id    = var.context.account_id
  region        = var.context.region
  cidr          = var.network.cidr
  zones         = var.network.zones
  egress        = var.network.egress
  endpoints     = var.network.endpoints
  flow_log_days = var.log_days
  key_arn       = module.key["logs"].arn
  boundary_arn  = module.platform_boundary.arn
}

module "access_logs" {
  source = "../modules/bucket"

  name              = local.access_log_bucket
  purpose           = "access-logs"
  data_class        = "internal"
  key_arn           = null
  access_log_bucket = null
  expire_days       = var.log_days
  account_id        = var.context.account_id
}

module "trail" {
  source = "../modules/trail"

  name              = local.trail
  account_id        = var.context.account_id
  region            = var.context.region
  path              = local.path
  bucket_name       = "${local.name}-trail-${var.context.account_id}"
  access_log_bucket = module.access_logs.name
  recorded_buckets  = values(local.buckets)
  retention_days    = var.trail_retention_days
  log_days          = var.log_days
  key_arn           = module.key["logs"].arn
  boundary_arn      = module.platform_boundary.arn
}

module "budget" {
  source = "../modules/budget"

  name        = local.name
  monthly_usd = var.budget.monthly_usd
  emails      = var.budget.emails
}

locals {
  path = "/${local.name}/" # of roles and policies

  access_log_bucket = "${local.name}-access-logs-${var.context.account_id}"
  trail             = "${local.name}-trail"

  # Named here and made in storage, because the trail records them and the trail is there first.
  buckets = {
    for purpose in ["data", "evidence", "mlflow", "predictions", "reports", "zenml"] :
    purpose => "${local.name}-${purpose}-${var.context.account_id}"
  }
}
