log_days             = 365
trail_retention_days = 365

network = {
  cidr      = "10.30.0.0/16"
  zones     = 3
  egress    = "each-zone"
  endpoints = ["ecr.api", "ecr.dkr", "logs", "sts"]
}

budget = {
  monthly_usd = 2500
  emails      = ["ml-platform@example.com"]
}
