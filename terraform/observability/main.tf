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

module "alarms" {
  source = "../modules/alarms"

  name           = local.name
  topic_arn      = aws_sns_topic.alarms.arn
  log_group_name = local.foundation.trail.log_group_name
  events         = local.events
  metrics        = local.metrics
}

locals {
  # The events are those of the CIS AWS Foundations Benchmark's chapter on monitoring, and the break-glass role's.
  events = {
    break-glass = {
      description = "Somebody took the break-glass role. The session's name says why; ask them."
      pattern     = "{ ($.eventName = \"AssumeRole\") && ($.requestParameters.roleArn = \"${local.identity.break_glass_role_arn}\") }"
    }
    root-used = {
      description = "The account's root user did something."
      pattern     = "{ ($.userIdentity.type = \"Root\") && ($.userIdentity.invokedBy NOT EXISTS) && ($.eventType != \"AwsServiceEvent\") }"
    }
    access-denied = {
      description = "A call was refused: a policy that is too narrow, or somebody who tries doors."
      pattern     = "{ ($.errorCode = \"*UnauthorizedOperation\") || ($.errorCode = \"AccessDenied*\") }"
    }
    permissions-changed = {
      description = "A policy or a role changed outside Terraform's own runs."
      pattern     = "{ ($.eventSource = \"iam.amazonaws.com\") && (($.eventName = \"Attach*\") || ($.eventName = \"Create*\") || ($.eventName = \"Delete*\") || ($.eventName = \"Detach*\") || ($.eventName = \"Put*\")) && ($.userIdentity.sessionContext.sessionIssuer.arn != \"${local.identity.github_role_arns.apply}\") }"
    }
    trail-changed = {
      description = "The audit trail was changed or stopped."
      pattern     = "{ ($.eventName = \"CreateTrail\") || ($.eventName = \"UpdateTrail\") || ($.eventName = \"DeleteTrail\") || ($.eventName = \"StartLogging\") || ($.eventName = \"StopLogging\") }"
    }
    key-disabled = {
      description = "A KMS key was disabled or is to be deleted: what it encrypts can't be read any more."
      pattern     = "{ ($.eventSource = \"kms.amazonaws.com\") && (($.eventName = \"DisableKey\") || ($.eventName = \"ScheduleKeyDeletion\")) }"
    }
    bucket-policy-changed = {
      description = "Who may reach a bucket was changed."
      pattern     = "{ ($.eventSource = \"s3.amazonaws.com\") && (($.eventName = \"PutBucketAcl\") || ($.eventName = \"PutBucketPolicy\") || ($.eventName = \"DeleteBucketPolicy\") || ($.eventName = \"PutBucketPublicAccessBlock\")) }"
    }
  }

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
