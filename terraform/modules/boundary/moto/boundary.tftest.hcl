provider "aws" {
  region                      = "eu-central-1"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_region_validation      = true
}

variables {
  name        = "workload-boundary"
  path        = "/bakehouse-staging/"
  description = "The most that a pod's role can do."
  account_id  = "111111111111"
  region      = "eu-central-1"
  actions     = ["s3:GetObject", "ecr:Batch*"]
}

run "lets_through_what_it_names_and_nothing_else" {
  assert {
    condition     = [for statement in jsondecode(aws_iam_policy.this.policy).Statement : toset(statement.Action) if statement.Effect == "Allow"] == [toset(var.actions)]
    error_message = "The one statement that allows must name the actions that were given."
  }

  assert {
    condition     = aws_iam_policy.this.arn == "arn:aws:iam::111111111111:policy/bakehouse-staging/workload-boundary"
    error_message = "The boundary must have the name that the denials protect."
  }
}

run "denies_what_no_policy_may_give" {
  command = plan

  assert {
    condition = { for statement in jsondecode(aws_iam_policy.this.policy).Statement : statement.Sid => keys(try(statement.Condition, {})) if statement.Effect == "Deny" } == {
      NeverTheRecord        = []
      NeverWhatBinds        = []
      NeverAnUnboundRole    = ["StringNotEquals"]
      NeverWithoutABoundary = []
      ThisRegionOnly        = ["StringNotEquals"]
    }
    error_message = "Nothing but an unbound role and another region may be denied under a condition."
  }

  assert {
    condition = alltrue([
      for statement in jsondecode(aws_iam_policy.this.policy).Statement :
      contains(statement.Resource, "arn:aws:iam::111111111111:policy/bakehouse-staging/*-boundary") if statement.Sid == "NeverWhatBinds"
    ])
    error_message = "No role under a boundary may change one."
  }

  assert {
    condition = alltrue([
      for statement in jsondecode(aws_iam_policy.this.policy).Statement :
      statement.Condition.StringNotEquals == { "aws:RequestedRegion" = "eu-central-1" } if statement.Sid == "ThisRegionOnly"
    ])
    error_message = "The region must be the environment's own."
  }
}
