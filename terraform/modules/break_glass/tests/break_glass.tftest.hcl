mock_provider "aws" {
  source = "../../tests/mocks"
}

variables {
  name         = "break-glass"
  path         = "/bakehouse-production/"
  principals   = ["arn:aws:iam::111111111111:role/sso/platform-on-call"]
  policy       = "{\"Version\":\"2012-10-17\",\"Statement\":[]}"
  boundary_arn = "arn:aws:iam::111111111111:policy/boundary"
}

run "lasts_an_hour_at_most" {
  command = plan

  assert {
    condition     = aws_iam_role.this.max_session_duration == 3600 && aws_iam_role.this.permissions_boundary == var.boundary_arn
    error_message = "Breaking the glass must be bounded in time and in reach."
  }
}

run "asks_a_user_for_a_fresh_second_factor_and_a_role_for_none_that_it_could_not_show" {
  command = plan

  variables {
    principals = ["arn:aws:iam::111111111111:role/sso/platform-on-call", "arn:aws:iam::111111111111:user/ada"]
  }

  assert {
    condition     = { for statement in data.aws_iam_policy_document.trust.statement : statement.sid => length(statement.condition) } == { Users = 3, Roles = 1 }
    error_message = "A user must show a second factor; a role's session says nothing of one."
  }
}

run "refuses_a_whole_account" {
  command = plan

  variables {
    principals = ["arn:aws:iam::111111111111:root"]
  }

  expect_failures = [var.principals]
}

run "refuses_a_wildcard" {
  command = plan

  variables {
    principals = ["arn:aws:iam::111111111111:role/sso/*"]
  }

  expect_failures = [var.principals]
}
