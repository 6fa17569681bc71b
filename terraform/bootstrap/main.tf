# What the other roots keep their state in. Applied once with local state, then moved into its own bucket
# (docs/how-to/terraform.md says how).
module "key" {
  source = "../modules/key"

  name        = "${local.name}/state"
  description = "Encrypts the Terraform state of ${local.name}."
  account_id  = var.context.account_id
}

module "access_logs" {
  source = "../modules/bucket"

  name              = "${local.name}-state-access-logs-${var.context.account_id}"
  purpose           = "access-logs"
  data_class        = "internal"
  key_arn           = null
  access_log_bucket = null
  expire_days       = var.access_log_days
  account_id        = var.context.account_id
}

module "state" {
  source = "../modules/bucket"

  name              = var.context.state_bucket
  purpose           = "state"
  data_class        = "confidential"
  protected         = true
  key_arn           = module.key.arn
  access_log_bucket = module.access_logs.name
  noncurrent_days   = 365
}
