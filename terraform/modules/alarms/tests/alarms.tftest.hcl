mock_provider "aws" {
  source = "../../tests/mocks"
}

variables {
  name           = "bakehouse-staging"
  topic_arn      = "arn:aws:sns:eu-central-1:111111111111:bakehouse-staging-alarms"
  log_group_name = "/bakehouse-staging-trail"
  events         = { break-glass = { description = "Somebody took the role.", pattern = "{ $.eventName = \"AssumeRole\" }" } }
  metrics        = {}
}

run "raises_at_the_first_event" {
  command = plan

  assert {
    condition     = aws_cloudwatch_metric_alarm.event["break-glass"].threshold == 1 && aws_cloudwatch_metric_alarm.event["break-glass"].evaluation_periods == 1
    error_message = "The first event must raise the alarm."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.event["break-glass"].alarm_actions == toset([var.topic_arn])
    error_message = "Somebody must be told."
  }

  assert {
    condition = (
      aws_cloudwatch_log_metric_filter.this["break-glass"].metric_transformation[0].name == aws_cloudwatch_metric_alarm.event["break-glass"].metric_name
      && aws_cloudwatch_log_metric_filter.this["break-glass"].metric_transformation[0].namespace == aws_cloudwatch_metric_alarm.event["break-glass"].namespace
    )
    error_message = "The alarm must watch what the filter counts."
  }
}

run "refuses_to_watch_nothing" {
  command = plan

  variables {
    events = {}
  }

  expect_failures = [var.events]
}
