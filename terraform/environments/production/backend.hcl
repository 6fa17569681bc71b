bucket = "bakehouse-production-state-222222222222"
region = "eu-central-1"
