# The account is an example: put your own here, in backend.hcl and where the other environment names it.
context = {
  project      = "bakehouse"
  environment  = "staging"
  region       = "eu-central-1"
  account_id   = "111111111111"
  owner        = "ml-platform"
  cost_center  = "ml-platform"
  state_bucket = "bakehouse-staging-state-111111111111"
}
