mock_provider "aws" {
  source = "../../tests/mocks"
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

run "spreads_private_subnets_over_the_zones" {
  command = plan

  assert {
    condition     = length(distinct(aws_subnet.private[*].availability_zone)) == 3 && length(distinct(aws_subnet.private[*].cidr_block)) == 3
    error_message = "Each zone must have a private subnet with a range of its own."
  }

  assert {
    condition     = !anytrue(aws_subnet.private[*].map_public_ip_on_launch)
    error_message = "A private subnet must give no public address."
  }

  assert {
    condition     = aws_flow_log.this.traffic_type == "ALL"
    error_message = "All traffic must be recorded."
  }
}

run "is_closed_without_egress" {
  command = plan

  variables {
    egress = "none"
  }

  assert {
    condition     = length(aws_nat_gateway.egress) + length(aws_internet_gateway.egress) + length(aws_route.egress) == 0
    error_message = "Without egress there must be no way out."
  }

  assert {
    condition     = length(aws_route_table.private) == 1
    error_message = "Endpoints must still have a table to stand in."
  }
}

run "has_one_way_out_for_all_zones_where_one_is_asked_for" {
  command = plan

  assert {
    condition     = length(aws_nat_gateway.egress) == 1 && length(aws_route_table.private) == 1 && length(aws_route_table_association.private) == 3
    error_message = "One gateway must serve the subnets of all zones."
  }
}

run "has_a_way_out_in_each_zone_so_that_the_outage_of_one_cuts_no_other_off" {
  variables {
    egress = "each-zone"
  }

  assert {
    condition = alltrue([for index in range(3) : (
      aws_subnet.private[index].availability_zone == aws_subnet.egress[index].availability_zone
      && aws_route_table_association.private[index].subnet_id == aws_subnet.private[index].id
      && aws_route_table_association.private[index].route_table_id == aws_route.egress[index].route_table_id
      && aws_route.egress[index].nat_gateway_id == aws_nat_gateway.egress[index].id
      && aws_nat_gateway.egress[index].subnet_id == aws_subnet.egress[index].id
      && aws_route_table_association.egress[index].subnet_id == aws_subnet.egress[index].id
    )])
    error_message = "A private subnet must reach the internet by a gateway of its own zone."
  }

  assert {
    condition     = length(distinct(aws_nat_gateway.egress[*].allocation_id)) == 3
    error_message = "Each gateway must have an address of its own."
  }

  assert {
    condition     = aws_vpc_endpoint.s3.route_table_ids == toset(aws_route_table.private[*].id) && length(aws_route_table.private) == 3
    error_message = "S3 must be reached by its endpoint from every zone, not through the gateways."
  }
}

run "keeps_the_ranges_of_all_subnets_apart_in_as_many_zones_as_there_may_be" {
  command = plan

  variables {
    zones  = 4
    egress = "each-zone"
  }

  override_data {
    target = data.aws_availability_zones.available
    values = { names = ["us-east-1a", "us-east-1b", "us-east-1c", "us-east-1d"] }
  }

  # A range of size /24 lies in the /20 that its own address is in.
  assert {
    condition = length(setintersection(
      [for egress in aws_subnet.egress : cidrsubnet("${cidrhost(egress.cidr_block, 0)}/20", 0, 0)],
      aws_subnet.private[*].cidr_block,
    )) == 0 && length(distinct(concat(aws_subnet.egress[*].cidr_block, aws_subnet.private[*].cidr_block))) == 8
    error_message = "No subnet's range may lie in another's."
  }
}

run "refuses_another_number_of_gateways" {
  command = plan

  variables {
    egress = "two"
  }

  expect_failures = [var.egress]
}

run "refuses_a_network_that_nodes_could_not_pull_images_in" {
  command = plan

  variables {
    endpoints = ["sts"]
  }

  expect_failures = [var.endpoints]
}

run "refuses_a_public_range" {
  command = plan

  variables {
    cidr = "80.0.0.0/16"
  }

  expect_failures = [var.cidr]
}
