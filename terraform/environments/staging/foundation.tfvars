log_days             = 180
trail_retention_days = 180

network = {
  cidr      = "10.20.0.0/16"
  zones     = 2
  egress    = "one"
  endpoints = ["ecr.api", "ecr.dkr", "logs", "sts"]
}

budget = {
  monthly_usd = 1200
  emails      = ["ml-platform@example.com"]
}
