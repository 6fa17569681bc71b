data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "AWS"
      identifiers = var.principals
    }

    condition {
      test     = "Bool"
      variable = "aws:MultiFactorAuthPresent"
      values   = ["true"]
    }

    condition {
      test     = "NumericLessThan"
      variable = "aws:MultiFactorAuthAge"
      values   = ["3600"]
    }

    # The reason is written where the alarm shows it.
    condition {
      test     = "StringLike"
      variable = "sts:RoleSessionName"
      values   = ["incident-*"]
    }
  }
}

resource "aws_iam_role" "this" {
  name                 = var.name
  path                 = var.path
  description          = "For an emergency, by named people with a fresh second factor; every use raises an alarm."
  assume_role_policy   = data.aws_iam_policy_document.trust.json
  permissions_boundary = var.boundary_arn
  max_session_duration = 3600
  tags                 = { workload = "break-glass" }
}

resource "aws_iam_role_policy" "this" {
  name   = "break-glass"
  role   = aws_iam_role.this.id
  policy = var.policy
}
