mock_provider "aws" {
  source = "../../tests/mocks"
}

variables {
  name        = "workload-boundary"
  path        = "/bakehouse-staging/"
  description = "The most that a pod's role can do."
  account_id  = "111111111111"
  region      = "eu-central-1"
  actions     = ["s3:GetObject", "ecr:Batch*"]
}

run "is_a_policy_under_the_environments_path" {
  command = plan

  assert {
    condition     = aws_iam_policy.this.path == "/bakehouse-staging/" && endswith(aws_iam_policy.this.name, "-boundary")
    error_message = "The boundary must stand under the environment's path and be called one."
  }
}

run "refuses_a_whole_service" {
  command = plan

  variables {
    actions = ["s3:*"]
  }

  expect_failures = [var.actions]
}

run "refuses_everything" {
  command = plan

  variables {
    actions = ["*"]
  }

  expect_failures = [var.actions]
}
