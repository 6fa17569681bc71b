mock_provider "aws" {
  source = "../../tests/mocks"
}

variables {
  name              = "github-apply"
  path              = "/bakehouse-production/"
  description       = "Applies in the test, after an approval."
  workload          = "apply"
  repository        = "bakehouse/bakehouse"
  environment       = "production"
  policy_arns       = { read = "arn:aws:iam::111111111111:policy/bakehouse-production/read" }
  oidc_provider_arn = "arn:aws:iam::111111111111:oidc-provider/token.actions.githubusercontent.com"
  boundary_arn      = "arn:aws:iam::111111111111:policy/boundary"
}

run "lasts_an_hour_at_most" {
  command = plan

  assert {
    condition     = aws_iam_role.this.max_session_duration == 3600
    error_message = "A workflow's session must not outlive it by much."
  }
}

run "refuses_to_apply_from_a_pull_request" {
  command = plan

  variables {
    pull_requests = true
  }

  expect_failures = [var.pull_requests]
}

run "refuses_any_repository_of_an_owner" {
  command = plan

  variables {
    repository = "bakehouse/*"
  }

  expect_failures = [var.repository]
}
