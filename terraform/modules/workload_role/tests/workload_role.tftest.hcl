mock_provider "aws" {
  source = "../../tests/mocks"
}

variables {
  name              = "bakehouse-staging-service-orders"
  path              = "/bakehouse-staging/"
  description       = "Answers for orders in the test."
  workload          = "service"
  model             = "orders"
  namespace         = "bakehouse-staging"
  service_account   = "orders-bento"
  policy_arn        = "arn:aws:iam::111111111111:policy/bakehouse-staging/service"
  oidc_provider_arn = "arn:aws:iam::111111111111:oidc-provider/oidc.eks.eu-central-1.amazonaws.com/id/ONE"
  oidc_issuer       = "oidc.eks.eu-central-1.amazonaws.com/id/ONE"
  boundary_arn      = "arn:aws:iam::111111111111:policy/boundary"
}

run "is_tagged_with_its_model_and_bounded" {
  command = plan

  assert {
    condition     = aws_iam_role.this.tags == tomap({ workload = "service", model = "orders" })
    error_message = "The policies go by these tags."
  }

  assert {
    condition     = aws_iam_role.this.permissions_boundary == var.boundary_arn
    error_message = "Every role must be bounded."
  }
}

run "refuses_a_service_of_no_model" {
  command = plan

  variables {
    model = null
  }

  expect_failures = [var.model]
}

run "refuses_every_service_account" {
  command = plan

  variables {
    service_account = "*"
  }

  expect_failures = [var.service_account]
}

run "refuses_a_policy_of_aws" {
  command = plan

  variables {
    policy_arn = "arn:aws:iam::aws:policy/AmazonS3FullAccess"
  }

  expect_failures = [var.policy_arn]
}

run "refuses_a_workflow_of_any_branch" {
  command = plan

  variables {
    workflow = {
      provider_arn = "arn:aws:iam::111111111111:oidc-provider/token.actions.githubusercontent.com"
      repository   = "bakehouse/bakehouse"
      environment  = "training"
      branch       = "*"
    }
  }

  expect_failures = [var.workflow]
}
