locals {
  principals = { for kind in ["user", "role"] : kind => [for arn in var.principals : arn if strcontains(arn, ":${kind}/")] }
}

# A user shows a fresh second factor here. A role can't, since its session says nothing of one: who gives sessions of it,
# the identity provider, has to ask for it.
data "aws_iam_policy_document" "trust" {
  dynamic "statement" {
    for_each = { for kind, arns in local.principals : kind => arns if length(arns) > 0 }

    content {
      sid     = "${title(statement.key)}s"
      actions = ["sts:AssumeRole"]

      principals {
        type        = "AWS"
        identifiers = statement.value
      }

      # The reason is written where the alarm shows it.
      condition {
        test     = "StringLike"
        variable = "sts:RoleSessionName"
        values   = ["incident-*"]
      }

      dynamic "condition" {
        for_each = statement.key == "user" ? [{ test = "Bool", name = "Present", value = "true" }, { test = "NumericLessThan", name = "Age", value = "3600" }] : []

        content {
          test     = condition.value.test
          variable = "aws:MultiFactorAuth${condition.value.name}"
          values   = [condition.value.value]
        }
      }
    }
  }
}

resource "aws_iam_role" "this" {
  name                 = var.name
  path                 = var.path
  description          = "For an emergency, by named people with a second factor; every use raises an alarm."
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
