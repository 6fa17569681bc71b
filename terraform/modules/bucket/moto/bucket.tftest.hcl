provider "aws" {
  region                      = "eu-central-1"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_region_validation      = true
}

variables {
  name              = "bakehouse-staging-data-111111111111"
  purpose           = "data"
  data_class        = "personal"
  key_arn           = "arn:aws:kms:eu-central-1:111111111111:key/one"
  access_log_bucket = "bakehouse-staging-access-logs-111111111111"
  policy_documents  = ["{\"Version\":\"2012-10-17\",\"Statement\":[{\"Sid\":\"Given\",\"Effect\":\"Deny\",\"Action\":\"s3:PutObject\",\"Resource\":\"*\",\"Principal\":\"*\"}]}"]
}

run "denies_everybody_everything_without_modern_tls_beside_what_it_was_given" {
  command = plan

  assert {
    condition = { for statement in jsondecode(aws_s3_bucket_policy.this.policy).Statement : statement.Sid => try(statement.Condition, null) } == {
      Given         = null
      TlsOnly       = { Bool = { "aws:SecureTransport" = "false" } }
      ModernTlsOnly = { NumericLessThan = { "s3:TlsVersion" = "1.2" } }
    }
    error_message = "The policy must be what was given and the two denials."
  }

  assert {
    condition = alltrue([for statement in jsondecode(aws_s3_bucket_policy.this.policy).Statement : (
      statement.Effect == "Deny" && statement.Principal == "*" && statement.Action == "s3:*"
      && toset(statement.Resource) == toset(["arn:aws:s3:::${var.name}", "arn:aws:s3:::${var.name}/*"])
    ) if statement.Sid != "Given"])
    error_message = "Both denials must be of everything, to everybody, on the bucket and what is in it."
  }
}

run "takes_access_logs_of_its_own_account_s_buckets_alone" {
  command = plan

  variables {
    name              = "bakehouse-staging-access-logs-111111111111"
    purpose           = "access-logs"
    key_arn           = null
    access_log_bucket = null
    account_id        = "111111111111"
    policy_documents  = []
  }

  assert {
    condition = [for statement in jsondecode(aws_s3_bucket_policy.this.policy).Statement : statement if statement.Effect == "Allow"] == [{
      Sid       = "S3DeliversAccessLogs"
      Effect    = "Allow"
      Action    = "s3:PutObject"
      Resource  = "arn:aws:s3:::bakehouse-staging-access-logs-111111111111/*"
      Principal = { Service = "logging.s3.amazonaws.com" }
      Condition = { StringEquals = { "aws:SourceAccount" = "111111111111" } }
    }]
    error_message = "S3 must be let in to deliver, for this account, and nobody else."
  }
}
