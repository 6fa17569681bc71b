# Alarms on what the audit trail records. Each is a filter that counts matching events, and an alarm at the first one.
resource "aws_cloudwatch_log_metric_filter" "this" {
  for_each = var.events

  name           = "${var.name}-${each.key}"
  log_group_name = var.log_group_name
  pattern        = each.value.pattern

  metric_transformation {
    name      = each.key
    namespace = "${var.name}/audit"
    value     = "1"
  }
}

resource "aws_cloudwatch_metric_alarm" "event" {
  for_each = var.events

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  namespace           = "${var.name}/audit"
  metric_name         = each.key
  statistic           = "Sum"
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  period              = 60
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = [var.topic_arn]

  depends_on = [aws_cloudwatch_log_metric_filter.this]
}

resource "aws_cloudwatch_metric_alarm" "metric" {
  for_each = var.metrics

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  comparison_operator = each.value.comparison
  threshold           = each.value.threshold
  period              = 300
  evaluation_periods  = 3
  treat_missing_data  = "missing"
  alarm_actions       = [var.topic_arn]
  ok_actions          = [var.topic_arn]
}
