mock_provider "aws" {
  source = "../../tests/mocks"
}

variables {
  name          = "bakehouse-staging"
  account_id    = "111111111111"
  region        = "eu-central-1"
  cidr          = "10.20.0.0/16"
  zones         = 3
  egress        = true
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
    egress = false
  }

  assert {
    condition     = length(aws_nat_gateway.egress) + length(aws_internet_gateway.egress) + length(aws_route.egress) == 0
    error_message = "Without egress there must be no way out."
  }
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
