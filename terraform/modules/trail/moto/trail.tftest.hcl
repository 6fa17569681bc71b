provider "aws" {
  region                      = "eu-central-1"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_region_validation      = true
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

run "lets_cloudtrail_write_for_this_trail_and_for_no_other" {
  command = plan

  assert {
    condition = alltrue([
      for statement in concat(jsondecode(data.aws_iam_policy_document.bucket.json).Statement, jsondecode(aws_iam_role.this.assume_role_policy).Statement) : (
        statement.Principal == { Service = "cloudtrail.amazonaws.com" }
        && statement.Condition == { StringEquals = { "aws:SourceArn" = "arn:aws:cloudtrail:eu-central-1:111111111111:trail/bakehouse-staging-trail" } }
      )
    ])
    error_message = "Another account's trail must not write here."
  }

  assert {
    condition     = jsondecode(aws_iam_role_policy.this.policy).Statement[0].Resource == "arn:aws:logs:eu-central-1:111111111111:log-group:/bakehouse-staging-trail:log-stream:111111111111_CloudTrail_eu-central-1*"
    error_message = "CloudTrail must write to its own streams alone."
  }
}
