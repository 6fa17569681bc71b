provider "aws" {
  region                      = "eu-central-1"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_region_validation      = true
}

variables {
  name        = "bakehouse-staging/data"
  description = "Encrypts what the test encrypts."
  account_id  = "111111111111"
}

run "is_administered_by_the_account_without_a_wildcard" {
  assert {
    condition     = !anytrue([for statement in jsondecode(aws_kms_key.this[0].policy).Statement : contains(flatten([statement.Action]), "kms:*")])
    error_message = "The policy that AWS keeps must list its actions."
  }

  assert {
    condition     = alltrue([for statement in jsondecode(aws_kms_key.this[0].policy).Statement : statement.Principal.AWS == "arn:aws:iam::111111111111:root"])
    error_message = "Nobody but the account may be named."
  }
}

run "leaves_the_key_alone_when_applied_again" {
  assert {
    condition     = aws_kms_key.this[0].arn == run.is_administered_by_the_account_without_a_wildcard.arn
    error_message = "Applying again must not make another key."
  }
}
