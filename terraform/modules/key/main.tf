locals {
  root = "arn:aws:iam::${var.account_id}:root"
}

# The account may administer the key and, through IAM policies, let its own roles use it. The actions are listed, not
# `kms:*`, so that nobody can grant the key away or put a policy that locks everyone out unnoticed.
data "aws_iam_policy_document" "this" {
  # checkov:skip=CKV_AWS_109: in a key's own policy, * is this key
  # checkov:skip=CKV_AWS_111: in a key's own policy, * is this key
  # checkov:skip=CKV_AWS_356: in a key's own policy, * is this key
  statement {
    sid = "AccountAdministers"
    actions = [
      "kms:CancelKeyDeletion",
      "kms:CreateAlias",
      "kms:DeleteAlias",
      "kms:DescribeKey",
      "kms:DisableKey",
      "kms:EnableKey",
      "kms:EnableKeyRotation",
      "kms:GetKeyPolicy",
      "kms:GetKeyRotationStatus",
      "kms:ListGrants",
      "kms:ListKeyPolicies",
      "kms:ListResourceTags",
      "kms:PutKeyPolicy",
      "kms:RetireGrant",
      "kms:RevokeGrant",
      "kms:ScheduleKeyDeletion",
      "kms:TagResource",
      "kms:UntagResource",
      "kms:UpdateAlias",
      "kms:UpdateKeyDescription",
    ]
    resources = ["*"]

    principals {
      type        = "AWS"
      identifiers = [local.root]
    }
  }

  statement {
    sid = "AccountDelegatesUse"
    actions = [
      "kms:Decrypt",
      "kms:Encrypt",
      "kms:GenerateDataKey",
      "kms:GenerateDataKeyWithoutPlaintext",
      "kms:ReEncryptFrom",
      "kms:ReEncryptTo",
    ]
    resources = ["*"]

    principals {
      type        = "AWS"
      identifiers = [local.root]
    }
  }

  # RDS and ECR take a grant in the name of the role that makes the database or repository, and only for themselves. EKS
  # does so in a way that this condition does not let through, says its guide, so the key of a cluster has none.
  statement {
    sid       = "AccountGrantsToServices"
    actions   = ["kms:CreateGrant"]
    resources = ["*"]

    principals {
      type        = "AWS"
      identifiers = [local.root]
    }

    dynamic "condition" {
      for_each = var.disk_region == null ? ["true"] : []
      content {
        test     = "Bool"
        variable = "kms:GrantIsForAWSResource"
        values   = [condition.value]
      }
    }
  }

  # Autoscaling starts the nodes by a role of its own, which no policy of ours can grant the key: so whoever in the
  # account may have a disk attached may use the key for it, through EC2 and not otherwise.
  dynamic "statement" {
    for_each = var.disk_region == null ? [] : [var.disk_region]
    content {
      sid = "DisksThroughEc2"
      actions = [
        "kms:CreateGrant",
        "kms:Decrypt",
        "kms:DescribeKey",
        "kms:GenerateDataKeyWithoutPlaintext",
        "kms:ReEncryptFrom",
        "kms:ReEncryptTo",
      ]
      resources = ["*"]

      principals {
        type        = "AWS"
        identifiers = ["*"]
      }

      condition {
        test     = "StringEquals"
        variable = "kms:CallerAccount"
        values   = [var.account_id]
      }

      condition {
        test     = "StringEquals"
        variable = "kms:ViaService"
        values   = ["ec2.${statement.value}.amazonaws.com"]
      }
    }
  }

  dynamic "statement" {
    for_each = var.services
    content {
      sid       = statement.key
      actions   = statement.value.actions
      resources = ["*"]

      principals {
        type        = "Service"
        identifiers = [statement.value.principal]
      }

      condition {
        test     = statement.value.condition.test
        variable = statement.value.condition.variable
        values   = statement.value.condition.values
      }
    }
  }
}

# `prevent_destroy` takes no variable, so a protected key is a resource of its own.
resource "aws_kms_key" "this" {
  count = var.protected ? 0 : 1

  description             = var.description
  enable_key_rotation     = true
  deletion_window_in_days = 30
  policy                  = data.aws_iam_policy_document.this.json
}

resource "aws_kms_key" "protected" {
  count = var.protected ? 1 : 0

  description             = var.description
  enable_key_rotation     = true
  deletion_window_in_days = 30
  policy                  = data.aws_iam_policy_document.this.json

  lifecycle {
    prevent_destroy = true
  }
}

locals {
  key = one(concat(aws_kms_key.this[*], aws_kms_key.protected[*]))
}

resource "aws_kms_alias" "this" {
  name          = "alias/${var.name}"
  target_key_id = local.key.key_id
}
