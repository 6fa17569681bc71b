# The most that any role under it can ever do, whatever policy someone attaches: the actions named, in this region or
# in a global service, and never what would remove the record of it.
data "aws_iam_policy_document" "this" {
  statement {
    sid       = "AtMost"
    actions   = var.actions
    resources = ["*"]
  }

  statement {
    sid    = "NeverTheRecord"
    effect = "Deny"
    actions = [
      "cloudtrail:DeleteTrail",
      "cloudtrail:StopLogging",
      "kms:DisableKey",
      "kms:ScheduleKeyDeletion",
      "s3:BypassGovernanceRetention",
      "s3:PutObjectLegalHold",
      "s3:PutObjectRetention",
    ]
    resources = ["*"]
  }

  # What bounds the roles, and what the workflows may do, is changed by a person from outside of every boundary.
  statement {
    sid    = "NeverWhatBinds"
    effect = "Deny"
    actions = [
      "iam:CreatePolicyVersion",
      "iam:DeletePolicy",
      "iam:DeletePolicyVersion",
      "iam:SetDefaultPolicyVersion",
    ]
    resources = [
      "arn:aws:iam::${var.account_id}:policy${var.path}*-boundary",
      "arn:aws:iam::${var.account_id}:policy${var.path}*-github-*",
    ]
  }

  statement {
    sid    = "NeverAnUnboundRole"
    effect = "Deny"
    actions = [
      "iam:AttachRolePolicy",
      "iam:CreateRole",
      "iam:PutRolePermissionsBoundary",
      "iam:PutRolePolicy",
    ]
    resources = ["*"]

    condition {
      test     = "StringNotEquals"
      variable = "iam:PermissionsBoundary"
      values   = [for name in ["platform", "workload"] : "arn:aws:iam::${var.account_id}:policy${var.path}${name}-boundary"]
    }
  }

  statement {
    sid       = "NeverWithoutABoundary"
    effect    = "Deny"
    actions   = ["iam:DeleteRolePermissionsBoundary"]
    resources = ["*"]
  }

  statement {
    sid         = "ThisRegionOnly"
    effect      = "Deny"
    not_actions = ["budgets:*", "cloudfront:*", "iam:*", "s3:*", "sts:*"]
    resources   = ["*"]

    condition {
      test     = "StringNotEquals"
      variable = "aws:RequestedRegion"
      values   = [var.region]
    }
  }
}

resource "aws_iam_policy" "this" {
  name        = var.name
  path        = var.path
  description = var.description
  policy      = data.aws_iam_policy_document.this.json
}
