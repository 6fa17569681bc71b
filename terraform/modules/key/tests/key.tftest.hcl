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
    condition     = aws_kms_key.this[0].enable_key_rotation && aws_kms_key.this[0].deletion_window_in_days == 30
    error_message = "A key must rotate, and its deletion must be revocable for thirty days."
  }

  assert {
    condition     = aws_kms_alias.this.name == "alias/bakehouse-staging/data"
    error_message = "The alias must be the name."
  }
}

run "gives_its_alias_to_the_accounts_administrators" {
  command = plan

  assert {
    condition = alltrue([
      for action in ["kms:CreateAlias", "kms:UpdateAlias", "kms:DeleteAlias"] :
      contains(flatten([for statement in data.aws_iam_policy_document.this.statement : statement.actions if statement.sid == "AccountAdministers"]), action)
    ])
    error_message = "AWS asks the key for the right to its alias, too."
  }
}

run "is_a_key_of_its_own_where_it_must_not_be_destroyed" {
  command = plan

  variables {
    protected = true
  }

  assert {
    condition     = length(aws_kms_key.this) == 0 && aws_kms_key.protected[0].enable_key_rotation
    error_message = "A protected key is the resource that has prevent_destroy."
  }
}

run "lets_a_service_have_grants_only_for_itself_but_where_eks_takes_them" {
  command = plan

  variables {
    disk_region = "eu-central-1"
  }

  assert {
    condition     = one([for statement in data.aws_iam_policy_document.this.statement : length(statement.condition) if statement.sid == "AccountGrantsToServices"]) == 0
    error_message = "EKS can't be given a grant under kms:GrantIsForAWSResource."
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
