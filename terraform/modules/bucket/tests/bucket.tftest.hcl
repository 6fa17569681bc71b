mock_provider "aws" {
  source = "../../tests/mocks"
}

variables {
  name              = "bakehouse-staging-data-111111111111"
  purpose           = "data"
  data_class        = "personal"
  key_arn           = "arn:aws:kms:eu-central-1:111111111111:key/one"
  access_log_bucket = "bakehouse-staging-access-logs-111111111111"
}

run "is_private_encrypted_versioned_and_logged" {
  command = plan

  assert {
    condition = alltrue([
      aws_s3_bucket_public_access_block.this.block_public_acls,
      aws_s3_bucket_public_access_block.this.block_public_policy,
      aws_s3_bucket_public_access_block.this.ignore_public_acls,
      aws_s3_bucket_public_access_block.this.restrict_public_buckets,
    ])
    error_message = "All four public access blocks must be set."
  }

  assert {
    condition     = one(one(aws_s3_bucket_server_side_encryption_configuration.this.rule).apply_server_side_encryption_by_default).sse_algorithm == "aws:kms"
    error_message = "The bucket must be encrypted by KMS."
  }

  assert {
    condition     = aws_s3_bucket_versioning.this.versioning_configuration[0].status == "Enabled"
    error_message = "The bucket must keep versions."
  }

  assert {
    condition     = aws_s3_bucket_logging.this[0].target_bucket == var.access_log_bucket
    error_message = "Access must be logged."
  }

  assert {
    condition     = length(aws_s3_bucket.this) == 1 && length(aws_s3_bucket.protected) == 0
    error_message = "Data is not protected from being destroyed; evidence is."
  }
}

run "locks_evidence" {
  command = plan

  variables {
    purpose   = "evidence"
    protected = true
    retention = { mode = "COMPLIANCE", days = 3650 }
  }

  assert {
    condition     = length(aws_s3_bucket.this) == 0 && aws_s3_bucket.protected[0].object_lock_enabled
    error_message = "A bucket of evidence must be the protected one, with object lock."
  }

  assert {
    condition     = aws_s3_bucket_object_lock_configuration.this[0].rule[0].default_retention[0].days == 3650
    error_message = "The retention must be the default of every object."
  }
}

run "refuses_evidence_without_protection_or_lock" {
  command = plan

  variables {
    purpose = "evidence"
  }

  expect_failures = [var.protected, var.retention]
}

run "refuses_data_without_a_key" {
  command = plan

  variables {
    key_arn = null
  }

  expect_failures = [var.key_arn]
}

run "gives_only_access_logs_the_key_of_s3" {
  command = plan

  variables {
    purpose           = "access-logs"
    key_arn           = null
    access_log_bucket = null
    account_id        = "111111111111"
  }

  assert {
    condition     = one(one(aws_s3_bucket_server_side_encryption_configuration.this.rule).apply_server_side_encryption_by_default).sse_algorithm == "AES256"
    error_message = "S3 can't deliver access logs under a KMS key."
  }

  assert {
    condition     = length(aws_s3_bucket_logging.this) == 0
    error_message = "A bucket of access logs must not log into itself."
  }
}

run "refuses_access_logs_of_any_account" {
  command = plan

  variables {
    purpose           = "access-logs"
    key_arn           = null
    access_log_bucket = null
  }

  expect_failures = [var.account_id]
}
