provider "aws" {
  region                      = "eu-central-1"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_region_validation      = true
}

variables {
  name          = "bakehouse-staging"
  account_id    = "111111111111"
  region        = "eu-central-1"
  cidr          = "10.20.0.0/16"
  zones         = 3
  egress        = "one"
  endpoints     = ["ecr.api", "ecr.dkr", "sts"]
  flow_log_days = 180
  key_arn       = "arn:aws:kms:eu-central-1:111111111111:key/one"
  boundary_arn  = "arn:aws:iam::111111111111:policy/boundary"
}

run "leads_all_zones_out_by_one_gateway" {
  assert {
    condition     = length(distinct(aws_route_table_association.private[*].route_table_id)) == 1
    error_message = "All private subnets must have the one table that leads out."
  }
}

run "gets_a_gateway_in_each_zone_beside_the_first" {
  variables {
    egress = "each-zone"
  }

  assert {
    condition     = aws_nat_gateway.egress[0].public_ip == run.leads_all_zones_out_by_one_gateway.egress_addresses[0]
    error_message = "The gateway that others may have let in must stay."
  }

  assert {
    condition     = length(distinct(aws_route_table_association.private[*].route_table_id)) == 3 && length(aws_vpc_endpoint.s3.route_table_ids) == 3
    error_message = "Each zone must have a table of its own, with S3 in it."
  }
}

run "goes_back_to_one_gateway" {
  assert {
    condition     = distinct(aws_route_table_association.private[*].route_table_id) == tolist([aws_route_table.private[0].id])
    error_message = "All private subnets must have the table that is left."
  }
}
