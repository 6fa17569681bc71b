locals {
  foundation = data.terraform_remote_state.foundation.outputs
  storage    = data.terraform_remote_state.storage.outputs
  identity   = data.terraform_remote_state.identity.outputs
}

resource "aws_sns_topic" "alarms" {
  name              = "${local.name}-alarms"
  kms_master_key_id = local.foundation.key_arns["logs"]
}

data "aws_iam_policy_document" "alarms" {
  statement {
    sid       = "CloudWatchPublishes"
    actions   = ["sns:Publish"]
    resources = ["arn:aws:sns:${var.context.region}:${var.context.account_id}:${local.name}-alarms"]

    principals {
      type        = "Service"
      identifiers = ["cloudwatch.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [var.context.account_id]
    }
  }
}

resource "aws_sns_topic_policy" "alarms" {
  arn    = aws_sns_topic.alarms.arn
  policy = data.aws_iam_policy_document.alarms.json
}

resource "aws_sns_topic_subscription" "alarms" {
  for_each = var.alarm_emails

  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = each.key
}

module "rooms" {
  source = "../modules/rooms"
}

resource "aws_cloudwatch_log_group" "service" {
  for_each = module.rooms.models

  name              = "/${local.name}/services/${each.key}"
  retention_in_days = var.log_days
  kms_key_id        = local.foundation.key_arns["logs"]
  tags              = { model = each.key }
}

module "watched_events" {
  source = "../modules/watched_events"

  apply_role_arn       = local.identity.github_role_arns.apply
  break_glass_role_arn = local.identity.break_glass_role_arn
}

module "alarms" {
  source = "../modules/alarms"

  name           = local.name
  topic_arn      = aws_sns_topic.alarms.arn
  log_group_name = local.foundation.trail.log_group_name
  events         = module.watched_events.events
  metrics        = local.metrics
}

locals {
  metrics = merge(
    { for name, database in local.storage.databases : "${name}-storage" => {
      description = "The database of ${name} has less than 5 GB of storage left."
      namespace   = "AWS/RDS"
      metric      = "FreeStorageSpace"
      dimensions  = { DBInstanceIdentifier = database.identifier }
      statistic   = "Minimum"
      comparison  = "LessThanThreshold"
      threshold   = 5 * 1024 * 1024 * 1024
    } },
    { for name, database in local.storage.databases : "${name}-cpu" => {
      description = "The database of ${name} has been above 80 % of its processors for fifteen minutes."
      namespace   = "AWS/RDS"
      metric      = "CPUUtilization"
      dimensions  = { DBInstanceIdentifier = database.identifier }
      statistic   = "Average"
      comparison  = "GreaterThanThreshold"
      threshold   = 80
    } },
  )
}
