terraform {
  # The bucket and its region are the environment's: -backend-config=../environments/<environment>/backend.hcl
  backend "s3" {
    key          = "storage.tfstate"
    encrypt      = true
    use_lockfile = true
  }
}
