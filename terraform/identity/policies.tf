# What each kind of workload may do. `$${aws:PrincipalTag/model}` is the tag of the role that asks, which only the
# apply role can set: a role reads and writes under the name of its own model, whatever path it asks for.
locals {
  bucket = { for purpose, name in local.storage.buckets : purpose => "arn:aws:s3:::${name}" }
  model  = "$${aws:PrincipalTag/model}"
  keys   = local.foundation.key_arns
}

resource "aws_iam_policy" "this" {
  for_each = {
    service       = data.aws_iam_policy_document.service.json
    training      = data.aws_iam_policy_document.training.json
    monitoring    = data.aws_iam_policy_document.monitoring.json
    tracking      = data.aws_iam_policy_document.tracking.json
    orchestration = data.aws_iam_policy_document.password["zenml"].json
    autoscaling   = data.aws_iam_policy_document.autoscaling.json
  }

  name        = "${local.name}-${each.key}"
  path        = local.path
  description = "What a role of the kind ${each.key} may do, in ${local.name}."
  policy      = each.value
}

# What each kind does with the keys: through S3 alone, so that a key opens nothing that a bucket does not.
data "aws_iam_policy_document" "keys" {
  for_each = {
    service    = { artifacts = ["kms:Decrypt"], predictions = ["kms:GenerateDataKey"] }
    training   = { artifacts = ["kms:Decrypt", "kms:GenerateDataKey"], data = ["kms:Decrypt"] }
    monitoring = { artifacts = ["kms:GenerateDataKey"], predictions = ["kms:Decrypt"] }
    tracking   = { artifacts = ["kms:Decrypt", "kms:GenerateDataKey"] }
  }

  dynamic "statement" {
    for_each = each.value

    content {
      sid       = "Use${title(statement.key)}Key"
      actions   = statement.value
      resources = [local.keys[statement.key]]

      condition {
        test     = "StringEquals"
        variable = "kms:ViaService"
        values   = ["s3.${var.context.region}.amazonaws.com"]
      }
    }
  }
}

data "aws_iam_policy_document" "service" {
  source_policy_documents = [data.aws_iam_policy_document.keys["service"].json]

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
    sid       = "WriteOwnPredictions"
    actions   = ["s3:PutObject"]
    resources = ["${local.bucket.predictions}/${local.model}/*"]
  }
}

data "aws_iam_policy_document" "training" {
  source_policy_documents = [data.aws_iam_policy_document.keys["training"].json]

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
  source_policy_documents = [data.aws_iam_policy_document.keys["monitoring"].json]

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
    sid       = "WriteOwnReports"
    actions   = ["s3:PutObject"]
    resources = ["${local.bucket.reports}/${local.model}/*"]
  }
}

data "aws_iam_policy_document" "tracking" {
  source_policy_documents = [
    data.aws_iam_policy_document.keys["tracking"].json,
    data.aws_iam_policy_document.password["mlflow"].json,
  ]

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
}

# RDS names the secret of a database's password itself, and tags it with the database.
data "aws_iam_policy_document" "password" {
  for_each = toset(["mlflow", "zenml"])

  statement {
    sid       = "ReadOwnPassword"
    actions   = ["secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue"]
    resources = ["arn:aws:secretsmanager:${var.context.region}:${var.context.account_id}:secret:rds!db-*"]

    condition {
      test     = "StringEquals"
      variable = "aws:ResourceTag/aws:rds:primaryDBInstanceArn"
      values   = ["arn:aws:rds:${var.context.region}:${var.context.account_id}:db:${local.name}-${each.key}"]
    }
  }

  statement {
    sid       = "DecryptOwnPassword"
    actions   = ["kms:Decrypt"]
    resources = [local.keys["databases"]]

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["secretsmanager.${var.context.region}.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "autoscaling" {
  # checkov:skip=CKV_AWS_356: reads of configuration, which AWS does not bind to resources
  statement {
    sid = "SeeGroups"
    actions = [
      "autoscaling:DescribeAutoScalingGroups",
      "autoscaling:DescribeAutoScalingInstances",
      "autoscaling:DescribeLaunchConfigurations",
      "autoscaling:DescribeScalingActivities",
      "ec2:DescribeImages",
      "ec2:DescribeInstanceTypes",
      "ec2:DescribeLaunchTemplateVersions",
      "ec2:GetInstanceTypesFromInstanceRequirements",
      "eks:DescribeNodegroup",
    ]
    resources = ["*"]
  }

  # EKS tags the groups of its nodes so.
  statement {
    sid       = "ScaleOwnGroups"
    actions   = ["autoscaling:SetDesiredCapacity", "autoscaling:TerminateInstanceInAutoScalingGroup"]
    resources = ["arn:aws:autoscaling:${var.context.region}:${var.context.account_id}:autoScalingGroup:*:autoScalingGroupName/*"]

    condition {
      test     = "StringEquals"
      variable = "aws:ResourceTag/k8s.io/cluster-autoscaler/${local.name}"
      values   = ["owned"]
    }
  }
}
