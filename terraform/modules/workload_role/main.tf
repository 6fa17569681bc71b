locals {
  # Who takes the role: one service account, and where it is named one workflow that does the same work.
  takers = concat(
    [{
      provider_arn = var.oidc_provider_arn
      issuer       = var.oidc_issuer
      subject      = "system:serviceaccount:${var.namespace}:${var.service_account}"
    }],
    [for workflow in var.workflow[*] : {
      provider_arn = workflow.provider_arn
      issuer       = "token.actions.githubusercontent.com"
      subject      = "repo:${workflow.repository}:environment:${workflow.environment}:ref:refs/heads/${workflow.branch}"
    }],
  )
}

data "aws_iam_policy_document" "trust" {
  dynamic "statement" {
    for_each = local.takers

    content {
      actions = ["sts:AssumeRoleWithWebIdentity"]

      principals {
        type        = "Federated"
        identifiers = [statement.value.provider_arn]
      }

      condition {
        test     = "StringEquals"
        variable = "${statement.value.issuer}:sub"
        values   = [statement.value.subject]
      }

      condition {
        test     = "StringEquals"
        variable = "${statement.value.issuer}:aud"
        values   = ["sts.amazonaws.com"]
      }
    }
  }
}

resource "aws_iam_role" "this" {
  name                 = var.name
  path                 = var.path
  description          = var.description
  assume_role_policy   = data.aws_iam_policy_document.trust.json
  permissions_boundary = var.boundary_arn
  tags                 = merge({ workload = var.workload }, var.model == null ? {} : { model = var.model })
}

resource "aws_iam_role_policy_attachment" "this" {
  role       = aws_iam_role.this.name
  policy_arn = var.policy_arn
}
