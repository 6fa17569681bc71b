# `prevent_destroy` takes no variable, so a protected bucket is a resource of its own; `local.id` is whichever there is.
resource "aws_s3_bucket" "this" {
  # checkov:skip=CKV2_AWS_62: nothing consumes events of these buckets
  # checkov:skip=CKV_AWS_144: the data stays in its region; versions and object lock guard it
  # checkov:skip=CKV_AWS_145: a resource beside this one has it; checkov does not follow local.id
  # checkov:skip=CKV2_AWS_61: a resource beside this one has it; checkov does not follow local.id
  # checkov:skip=CKV2_AWS_6: a resource beside this one has it; checkov does not follow local.id
  # checkov:skip=CKV_AWS_18: a resource beside this one has it; checkov does not follow local.id
  # checkov:skip=CKV_AWS_21: a resource beside this one has it; checkov does not follow local.id
  count = var.protected ? 0 : 1

  bucket              = var.name
  object_lock_enabled = var.retention != null
  tags                = local.tags
}

resource "aws_s3_bucket" "protected" {
  # checkov:skip=CKV2_AWS_62: nothing consumes events of these buckets
  # checkov:skip=CKV_AWS_144: the data stays in its region; versions and object lock guard it
  # checkov:skip=CKV_AWS_145: a resource beside this one has it; checkov does not follow local.id
  # checkov:skip=CKV2_AWS_61: a resource beside this one has it; checkov does not follow local.id
  # checkov:skip=CKV2_AWS_6: a resource beside this one has it; checkov does not follow local.id
  # checkov:skip=CKV_AWS_18: a resource beside this one has it; checkov does not follow local.id
  # checkov:skip=CKV_AWS_21: a resource beside this one has it; checkov does not follow local.id
  count = var.protected ? 1 : 0

  bucket              = var.name
  object_lock_enabled = var.retention != null
  tags                = local.tags

  lifecycle {
    prevent_destroy = true
  }
}

locals {
  id   = one(concat(aws_s3_bucket.this[*].bucket, aws_s3_bucket.protected[*].bucket)) # known when planned, unlike `id`
  arn  = "arn:aws:s3:::${var.name}"                                                   # from the name, so that the policy is known when it is planned
  tags = { purpose = var.purpose, data-class = var.data_class }
}

resource "aws_s3_bucket_ownership_controls" "this" {
  bucket = local.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_public_access_block" "this" {
  bucket = local.id

  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_versioning" "this" {
  bucket = local.id

  versioning_configuration {
    status = "Enabled"
  }
}

# S3 can't deliver access logs into a bucket under a KMS key, so the bucket of access logs alone has none.
resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  bucket = local.id

  rule {
    bucket_key_enabled = var.purpose != "access-logs"

    apply_server_side_encryption_by_default {
      sse_algorithm     = var.purpose == "access-logs" ? "AES256" : "aws:kms"
      kms_master_key_id = var.key_arn
    }
  }
}

resource "aws_s3_bucket_logging" "this" {
  count = var.purpose == "access-logs" ? 0 : 1

  bucket        = local.id
  target_bucket = var.access_log_bucket
  target_prefix = "${var.name}/"
}

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  # checkov:skip=CKV_AWS_300: the first rule has it; checkov loses it beside the dynamic one
  bucket = local.id

  rule {
    id     = "old-versions-and-broken-uploads"
    status = "Enabled"

    filter {}

    noncurrent_version_expiration {
      noncurrent_days = var.noncurrent_days
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }

  dynamic "rule" {
    for_each = var.expire_days == null ? [] : [var.expire_days]
    content {
      id     = "expire"
      status = "Enabled"

      filter {}

      expiration {
        days = rule.value
      }
    }
  }

  depends_on = [aws_s3_bucket_versioning.this]
}

resource "aws_s3_bucket_object_lock_configuration" "this" {
  count = var.retention == null ? 0 : 1

  bucket = local.id

  rule {
    default_retention {
      mode = var.retention.mode
      days = var.retention.days
    }
  }

  depends_on = [aws_s3_bucket_versioning.this]
}

data "aws_iam_policy_document" "this" {
  source_policy_documents = var.policy_documents

  dynamic "statement" {
    for_each = var.purpose == "access-logs" ? [var.account_id] : []

    content {
      sid       = "S3DeliversAccessLogs"
      actions   = ["s3:PutObject"]
      resources = ["${local.arn}/*"]

      principals {
        type        = "Service"
        identifiers = ["logging.s3.amazonaws.com"]
      }

      condition {
        test     = "StringEquals"
        variable = "aws:SourceAccount"
        values   = [statement.value]
      }
    }
  }

  statement {
    sid       = "TlsOnly"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [local.arn, "${local.arn}/*"]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }

  statement {
    sid       = "ModernTlsOnly"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [local.arn, "${local.arn}/*"]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "NumericLessThan"
      variable = "s3:TlsVersion"
      values   = ["1.2"]
    }
  }
}

resource "aws_s3_bucket_policy" "this" {
  bucket = local.id
  policy = data.aws_iam_policy_document.this.json

  depends_on = [aws_s3_bucket_public_access_block.this]
}
