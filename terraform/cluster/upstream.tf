data "terraform_remote_state" "foundation" {
  backend = "s3"

  config = {
    bucket = var.context.state_bucket
    key    = "foundation.tfstate"
    region = var.context.region
  }
}

