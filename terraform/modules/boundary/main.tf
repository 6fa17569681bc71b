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
      "s3:BypassGovernanceRetention",
      "s3:PutObjectLegalHold",
      "s3:PutObjectRetention",
    ]
    resources = ["*"]
  }

  statement {
    sid    = "NeverItsOwnBoundary"
    effect = "Deny"
    actions = [
      "iam:CreatePolicyVersion",
      "iam:DeletePolicy",
      "iam:DeletePolicyVersion",
      "iam:SetDefaultPolicyVersion",
    ]
    resources = ["arn:aws:iam::${var.account_id}:policy${var.path}${var.name}"]
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
