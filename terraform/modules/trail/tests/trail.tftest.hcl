mock_provider "aws" {
  source = "../../tests/mocks"
}

variables {
  name              = "bakehouse-staging-trail"
  account_id        = "111111111111"
  region            = "eu-central-1"
  path              = "/bakehouse-staging/"
  bucket_name       = "bakehouse-staging-trail-111111111111"
  access_log_bucket = "bakehouse-staging-access-logs-111111111111"
  recorded_buckets  = ["bakehouse-staging-data-111111111111"]
  retention_days    = 180
  log_days          = 180
  key_arn           = "arn:aws:kms:eu-central-1:111111111111:key/one"
  boundary_arn      = "arn:aws:iam::111111111111:policy/boundary"
}

run "covers_every_region_and_proves_itself" {
  command = plan

  assert {
    condition     = aws_cloudtrail.this.is_multi_region_trail && aws_cloudtrail.this.enable_log_file_validation
    error_message = "The trail must cover every region and be validated."
  }

  assert {
    condition     = one(one(aws_cloudtrail.this.event_selector).data_resource).values == tolist(["arn:aws:s3:::bakehouse-staging-data-111111111111/"])
    error_message = "Reads and writes of the data's buckets must be recorded."
  }
}

run "refuses_to_forget_within_six_months" {
  command = plan

  variables {
    retention_days = 90
  }

  expect_failures = [var.retention_days]
}
