# The account is an example: put your own here, in backend.hcl and where the other environment names it.
context = {
  project      = "bakehouse"
  environment  = "production"
  region       = "eu-central-1"
  account_id   = "222222222222"
  owner        = "ml-platform"
  cost_center  = "ml-platform"
  state_bucket = "bakehouse-production-state-222222222222"
}
