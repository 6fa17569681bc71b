provider "aws" {
  region                      = "eu-central-1"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_region_validation      = true
}

variables {
  name    = "bakehouse/orders"
  model   = "orders"
  key_arn = "arn:aws:kms:eu-central-1:111111111111:key/one"
}

run "is_where_releases_say_it_is" {
  assert {
    condition     = output.url == "111111111111.dkr.ecr.eu-central-1.amazonaws.com/bakehouse/orders"
    error_message = "A release names its image by this address."
  }

  assert {
    condition     = aws_ecr_repository.this.tags_all["model"] == "orders"
    error_message = "Access goes by this tag."
  }
}
