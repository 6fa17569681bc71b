# The repository's OIDC subject is set to repo, context and ref (docs/how-to/terraform.md), so that one exact value
# binds repository, GitHub environment and branch.
data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]

    principals {
      type        = "Federated"
      identifiers = [var.oidc_provider_arn]
    }

    condition {
      test     = "StringEquals"
      variable = "token.actions.githubusercontent.com:aud"
      values   = ["sts.amazonaws.com"]
    }

    condition {
      test     = var.pull_requests ? "StringLike" : "StringEquals"
      variable = "token.actions.githubusercontent.com:sub"
      values = compact([
        "repo:${var.repository}:environment:${var.environment}:ref:refs/heads/${var.branch}",
        var.pull_requests ? "repo:${var.repository}:environment:${var.environment}:ref:refs/pull/*/merge" : "",
      ])
    }
  }
}

resource "aws_iam_role" "this" {
  name                 = var.name
  path                 = var.path
  description          = var.description
  assume_role_policy   = data.aws_iam_policy_document.trust.json
  permissions_boundary = var.boundary_arn
  max_session_duration = var.session_seconds
  tags                 = { workload = var.workload }
}

resource "aws_iam_role_policy_attachment" "this" {
  for_each = var.policy_arns

  role       = aws_iam_role.this.name
  policy_arn = each.value
}
