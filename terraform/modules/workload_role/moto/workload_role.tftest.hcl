provider "aws" {
  region                      = "eu-central-1"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_region_validation      = true
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

run "is_bound_to_one_service_account" {
  command = plan

  assert {
    condition = jsondecode(aws_iam_role.this.assume_role_policy).Statement[0].Condition.StringEquals == {
      "oidc.eks.eu-central-1.amazonaws.com/id/ONE:aud" = "sts.amazonaws.com"
      "oidc.eks.eu-central-1.amazonaws.com/id/ONE:sub" = "system:serviceaccount:bakehouse-staging:orders-bento"
    }
    error_message = "The trust must name one subject and one audience."
  }
}

run "is_bound_to_one_workflow_as_well_where_it_is_named" {
  command = plan

  variables {
    workload = "training"
    workflow = {
      provider_arn = "arn:aws:iam::111111111111:oidc-provider/token.actions.githubusercontent.com"
      repository   = "bakehouse/bakehouse"
      environment  = "training"
      branch       = "main"
    }
  }

  assert {
    condition     = length(jsondecode(aws_iam_role.this.assume_role_policy).Statement) == 2
    error_message = "The cluster's workload must be able to take it all the same."
  }

  assert {
    condition = jsondecode(aws_iam_role.this.assume_role_policy).Statement[1].Condition.StringEquals == {
      "token.actions.githubusercontent.com:aud" = "sts.amazonaws.com"
      "token.actions.githubusercontent.com:sub" = "repo:bakehouse/bakehouse:environment:training:ref:refs/heads/main"
    }
    error_message = "The trust must name one repository, GitHub environment and branch."
  }
}
