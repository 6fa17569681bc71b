mock_provider "aws" {
  source = "../../tests/mocks"
}

variables {
  name        = "bakehouse-staging"
  monthly_usd = 1200
  emails      = ["ml-platform@example.com"]
}

run "warns_before_it_is_spent" {
  command = plan

  assert {
    condition     = length([for item in aws_budgets_budget.this.notification : item if item.notification_type == "ACTUAL" && item.threshold < 100]) == 1
    error_message = "Somebody must be told before the budget is spent."
  }

  assert {
    condition     = length([for item in aws_budgets_budget.this.notification : item if item.notification_type == "FORECASTED"]) == 1
    error_message = "Somebody must be told when the budget will not do."
  }
}

run "refuses_a_budget_that_nobody_hears_of" {
  command = plan

  variables {
    emails = []
  }

  expect_failures = [var.emails]
}
