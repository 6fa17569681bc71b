# The people's way in when nothing else works. It reads and restarts; it changes no permission and deletes nothing.
module "break_glass" {
  source = "../modules/break_glass"

  name         = "break-glass"
  path         = local.path
  principals   = var.break_glass_principals
  policy       = data.aws_iam_policy_document.break_glass.json
  boundary_arn = local.platform_boundary
}

data "aws_iam_policy_document" "break_glass" {
  # checkov:skip=CKV_AWS_356: reads of configuration, which AWS does not bind to resources
  statement {
    sid = "See"
    actions = [
      "cloudtrail:LookupEvents",
      "cloudwatch:Describe*",
      "cloudwatch:Get*",
      "cloudwatch:List*",
      "ec2:Describe*",
      "eks:Describe*",
      "eks:List*",
      "logs:Describe*",
      "logs:FilterLogEvents",
      "logs:GetLogEvents",
      "logs:GetQueryResults",
      "logs:StartQuery",
      "rds:Describe*",
    ]
    resources = ["*"]
  }

  statement {
    sid       = "ReachTheCluster"
    actions   = ["eks:AccessKubernetesApi"]
    resources = ["arn:aws:eks:${var.context.region}:${var.context.account_id}:cluster/${local.name}"]
  }

  statement {
    sid     = "RestartAndRestore"
    actions = ["rds:CreateDBSnapshot", "rds:RebootDBInstance", "rds:RestoreDBInstanceToPointInTime"]
    resources = [
      "arn:aws:rds:${var.context.region}:${var.context.account_id}:db:${local.name}-*",
      "arn:aws:rds:${var.context.region}:${var.context.account_id}:og:default*",
      "arn:aws:rds:${var.context.region}:${var.context.account_id}:pg:default*",
      "arn:aws:rds:${var.context.region}:${var.context.account_id}:snapshot:${local.name}-*",
      "arn:aws:rds:${var.context.region}:${var.context.account_id}:subgrp:${local.name}-*",
    ]
  }

  # A restored database is a new one under the same key.
  statement {
    sid       = "EncryptTheRestored"
    actions   = ["kms:CreateGrant", "kms:DescribeKey"]
    resources = [local.keys["databases"]]

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["rds.${var.context.region}.amazonaws.com"]
    }
  }

  statement {
    sid       = "ReadEvidence"
    actions   = ["s3:GetObject", "s3:ListBucket"]
    resources = [local.bucket.evidence, "${local.bucket.evidence}/*", local.bucket.reports, "${local.bucket.reports}/*"]
  }

  statement {
    sid       = "DecryptEvidence"
    actions   = ["kms:Decrypt"]
    resources = [local.keys["artifacts"]]

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["s3.${var.context.region}.amazonaws.com"]
    }
  }
}
