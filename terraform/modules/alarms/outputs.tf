output "names" {
  description = "Names of all alarms."
  value = sort(concat(
    [for alarm in aws_cloudwatch_metric_alarm.event : alarm.alarm_name],
    [for alarm in aws_cloudwatch_metric_alarm.metric : alarm.alarm_name],
  ))
}
