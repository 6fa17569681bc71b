provider "aws" {
  region                      = "eu-central-1"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_region_validation      = true
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

run "is_taken_from_one_repository_environment_and_branch" {
  command = plan

  assert {
    condition = [for statement in jsondecode(aws_iam_role.this.assume_role_policy).Statement : statement.Condition] == [{
      StringEquals = {
        "token.actions.githubusercontent.com:aud" = "sts.amazonaws.com"
        "token.actions.githubusercontent.com:sub" = "repo:bakehouse/bakehouse:environment:production:ref:refs/heads/main"
      }
    }]
    error_message = "The trust must name one subject and one audience."
  }
}

run "plans_for_any_pull_request_of_its_own_repository" {
  command = plan

  variables {
    name          = "github-plan"
    workload      = "plan"
    environment   = "production-plan"
    pull_requests = true
  }

  assert {
    condition = toset(jsondecode(aws_iam_role.this.assume_role_policy).Statement[0].Condition.StringLike["token.actions.githubusercontent.com:sub"]) == toset([
      "repo:bakehouse/bakehouse:environment:production-plan:ref:refs/heads/main",
      "repo:bakehouse/bakehouse:environment:production-plan:ref:refs/pull/*/merge",
    ])
    error_message = "Nothing of the subject may vary but the pull request's number."
  }
}
