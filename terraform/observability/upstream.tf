data "terraform_remote_state" "foundation" {
  backend = "s3"

  config = {
    bucket = var.context.state_bucket
    key    = "foundation.tfstate"
    region = var.context.region
  }
}

data "terraform_remote_state" "storage" {
  backend = "s3"

  config = {
    bucket = var.context.state_bucket
    key    = "storage.tfstate"
    region = var.context.region
  }
}

data "terraform_remote_state" "identity" {
  backend = "s3"

  config = {
    bucket = var.context.state_bucket
    key    = "identity.tfstate"
    region = var.context.region
  }
}

