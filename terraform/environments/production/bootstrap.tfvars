access_log_days = 180
