# A model is a folder under bentos/: one more room is one more repository here, one more set of roles in identity and one
# more log group in observability, each in the plan of the pull request that adds it.
module "rooms" {
  source = "../modules/rooms"
}

locals {
  foundation = data.terraform_remote_state.foundation.outputs

  buckets = {
    data        = { key = "data", data_class = "personal", expire_days = null }
    mlflow      = { key = "artifacts", data_class = "confidential", expire_days = null }
    zenml       = { key = "artifacts", data_class = "confidential", expire_days = var.retention_days.zenml }
    predictions = { key = "predictions", data_class = "personal", expire_days = var.retention_days.predictions }
    reports     = { key = "artifacts", data_class = "internal", expire_days = null }
  }
}

module "bucket" {
  source   = "../modules/bucket"
  for_each = local.buckets

  name              = local.foundation.bucket_names[each.key]
  purpose           = each.key
  data_class        = each.value.data_class
  key_arn           = local.foundation.key_arns[each.value.key]
  access_log_bucket = local.foundation.access_log_bucket
  expire_days       = each.value.expire_days
}

# What let a release in stays readable, and can't be changed, for as long as the record has to be kept.
module "evidence" {
  source = "../modules/bucket"

  name              = local.foundation.bucket_names["evidence"]
  purpose           = "evidence"
  data_class        = "confidential"
  protected         = true
  key_arn           = local.foundation.key_arns["artifacts"]
  access_log_bucket = local.foundation.access_log_bucket
  retention         = { mode = var.evidence.mode, days = var.evidence.days }
  noncurrent_days   = 3650
}

module "repository" {
  source   = "../modules/repository"
  for_each = module.rooms.models

  name    = "${var.context.project}/${each.key}"
  model   = each.key
  key_arn = local.foundation.key_arns["artifacts"]
}

module "database" {
  source   = "../modules/database"
  for_each = var.databases

  name                = "${local.name}-${each.key}"
  engine              = each.value.engine
  engine_version      = each.value.engine_version
  database            = each.key
  instance_class      = each.value.instance_class
  storage_gb          = each.value.storage_gb
  multi_az            = each.value.multi_az
  backup_days         = each.value.backup_days
  deletion_protection = each.value.deletion_protection
  key_arn             = local.foundation.key_arns["databases"]
  log_days            = var.retention_days.logs
  log_key_arn         = local.foundation.key_arns["logs"]
  vpc_id              = local.foundation.network.vpc_id
  subnet_ids          = local.foundation.network.private_subnet_ids
  client_cidrs        = local.foundation.network.private_subnet_cidrs
}
