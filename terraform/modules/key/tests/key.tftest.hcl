mock_provider "aws" {
  source = "../../tests/mocks"
}

variables {
  name        = "bakehouse-staging/data"
  description = "Encrypts what the test encrypts."
  account_id  = "111111111111"
}

run "rotates_and_can_be_called_back" {
  command = plan

  assert {
    condition     = aws_kms_key.this.enable_key_rotation && aws_kms_key.this.deletion_window_in_days == 30
    error_message = "A key must rotate, and its deletion must be revocable for thirty days."
  }

  assert {
    condition     = aws_kms_alias.this.name == "alias/bakehouse-staging/data"
    error_message = "The alias must be the name."
  }
}

run "refuses_a_service_without_a_condition" {
  command = plan

  variables {
    services = {
      Logs = {
        principal = "logs.amazonaws.com"
        actions   = ["kms:Decrypt"]
        condition = { test = "StringEquals", variable = "aws:SourceAccount", values = [] }
      }
    }
  }

  expect_failures = [var.services]
}

run "refuses_a_name_of_aws" {
  command = plan

  variables {
    name = "aws/s3"
  }

  expect_failures = [var.name]
}
