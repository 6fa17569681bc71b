data "terraform_remote_state" "bootstrap" {
  backend = "s3"

  config = {
    bucket = var.context.state_bucket
    key    = "bootstrap.tfstate"
    region = var.context.region
  }
}

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

data "terraform_remote_state" "cluster" {
  backend = "s3"

  config = {
    bucket = var.context.state_bucket
    key    = "cluster.tfstate"
    region = var.context.region
  }
}

