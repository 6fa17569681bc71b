# What each kind of workload may do. `$${aws:PrincipalTag/model}` is the tag of the role that asks, which only the
# apply role can set: a role reads and writes under the name of its own model, whatever path it asks for.
locals {
  bucket = { for purpose, name in local.storage.buckets : purpose => "arn:aws:s3:::${name}" }
  model  = "$${aws:PrincipalTag/model}"
  keys   = local.foundation.key_arns
}

resource "aws_iam_policy" "this" {
  for_each = {
    service    = data.aws_iam_policy_document.service.json
    training   = data.aws_iam_policy_document.training.json
    monitoring = data.aws_iam_policy_document.monitoring.json
    tracking   = data.aws_iam_policy_document.tracking.json
  }

  name        = "${local.name}-${each.key}"
  path        = local.path
  description = "What a role of the kind ${each.key} may do, in ${local.name}."
  policy      = each.value
}

data "aws_iam_policy_document" "service" {
  statement {
    sid       = "ReadOwnArtifacts"
    actions   = ["s3:GetObject"]
    resources = ["${local.bucket.mlflow}/${local.model}/*"]
  }

  statement {
    sid       = "ListOwnArtifacts"
    actions   = ["s3:ListBucket"]
    resources = [local.bucket.mlflow]

    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = ["${local.model}/*"]
    }
  }

  statement {
    sid       = "DecryptArtifacts"
    actions   = ["kms:Decrypt"]
    resources = [local.keys["artifacts"]]

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["s3.${var.context.region}.amazonaws.com"]
    }
  }

  statement {
    sid       = "WriteOwnPredictions"
    actions   = ["s3:PutObject"]
    resources = ["${local.bucket.predictions}/${local.model}/*"]
  }

  statement {
    sid       = "EncryptPredictions"
    actions   = ["kms:GenerateDataKey"]
    resources = [local.keys["predictions"]]

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["s3.${var.context.region}.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "training" {
  statement {
    sid       = "ReadOwnData"
    actions   = ["s3:GetObject"]
    resources = ["${local.bucket.data}/${local.model}/*"]
  }

  statement {
    sid       = "ReadAndWriteOwnArtifacts"
    actions   = ["s3:AbortMultipartUpload", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject"]
    resources = ["${local.bucket.mlflow}/${local.model}/*", "${local.bucket.zenml}/${local.model}/*"]
  }

  statement {
    sid       = "WriteOwnReportsAndEvidence"
    actions   = ["s3:PutObject"]
    resources = ["${local.bucket.reports}/${local.model}/*", "${local.bucket.evidence}/${local.model}/*"]
  }

  statement {
    sid       = "ListOwn"
    actions   = ["s3:ListBucket"]
    resources = [local.bucket.data, local.bucket.mlflow, local.bucket.zenml]

    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = ["${local.model}/*"]
    }
  }

  statement {
    sid       = "UseKeys"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [local.keys["artifacts"]]

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["s3.${var.context.region}.amazonaws.com"]
    }
  }

  statement {
    sid       = "DecryptData"
    actions   = ["kms:Decrypt"]
    resources = [local.keys["data"]]

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["s3.${var.context.region}.amazonaws.com"]
    }
  }

  # A token for the registry; AWS takes no resource here. What can be pushed is decided below.
  statement {
    sid       = "LogInToRegistry"
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"]
  }

  statement {
    sid = "PushOwnImages"
    actions = [
      "ecr:BatchCheckLayerAvailability",
      "ecr:BatchGetImage",
      "ecr:CompleteLayerUpload",
      "ecr:DescribeImages",
      "ecr:GetDownloadUrlForLayer",
      "ecr:InitiateLayerUpload",
      "ecr:PutImage",
      "ecr:UploadLayerPart",
    ]
    resources = ["arn:aws:ecr:${var.context.region}:${var.context.account_id}:repository/${var.context.project}/*"]

    condition {
      test     = "StringEquals"
      variable = "aws:ResourceTag/model"
      values   = [local.model]
    }
  }
}

data "aws_iam_policy_document" "monitoring" {
  statement {
    sid       = "ReadOwnPredictions"
    actions   = ["s3:GetObject"]
    resources = ["${local.bucket.predictions}/${local.model}/*"]
  }

  statement {
    sid       = "ListOwnPredictions"
    actions   = ["s3:ListBucket"]
    resources = [local.bucket.predictions]

    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = ["${local.model}/*"]
    }
  }

  statement {
    sid       = "DecryptPredictions"
    actions   = ["kms:Decrypt"]
    resources = [local.keys["predictions"]]

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["s3.${var.context.region}.amazonaws.com"]
    }
  }

  statement {
    sid       = "WriteOwnReports"
    actions   = ["s3:PutObject"]
    resources = ["${local.bucket.reports}/${local.model}/*"]
  }

  statement {
    sid       = "EncryptReports"
    actions   = ["kms:GenerateDataKey"]
    resources = [local.keys["artifacts"]]

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["s3.${var.context.region}.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "tracking" {
  statement {
    sid       = "ServeArtifacts"
    actions   = ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject"]
    resources = ["${local.bucket.mlflow}/*"]
  }

  statement {
    sid       = "ListArtifacts"
    actions   = ["s3:ListBucket"]
    resources = [local.bucket.mlflow]
  }

  statement {
    sid       = "UseKey"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [local.keys["artifacts"]]

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["s3.${var.context.region}.amazonaws.com"]
    }
  }
}
