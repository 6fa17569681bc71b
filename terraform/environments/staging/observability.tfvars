alarm_emails = ["ml-platform@example.com"]
log_days     = 180
