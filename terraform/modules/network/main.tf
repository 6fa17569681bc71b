data "aws_availability_zones" "available" {
  # checkov:skip=CKV_AWS_394: only the first zones by name are taken, and their number is a variable
  state = "available"
}

locals {
  zones    = slice(data.aws_availability_zones.available.names, 0, var.zones)
  gateways = { none = 0, one = 1, each-zone = var.zones }[var.egress]

  # One for each way out; where all zones have the same one, or none, they share a table.
  private_route_tables = max(local.gateways, 1)
}

resource "aws_vpc" "this" {
  cidr_block           = var.cidr
  enable_dns_hostnames = true
  enable_dns_support   = true
  tags                 = { Name = var.name }
}

# Left without a rule, so that nothing that forgets its own security group is reachable.
resource "aws_default_security_group" "closed" {
  vpc_id = aws_vpc.this.id
  tags   = { Name = "${var.name}-default-closed" }
}

resource "aws_subnet" "private" {
  count = var.zones

  vpc_id                  = aws_vpc.this.id
  availability_zone       = local.zones[count.index]
  cidr_block              = cidrsubnet(var.cidr, 4, count.index)
  map_public_ip_on_launch = false
  tags                    = { Name = "${var.name}-private-${local.zones[count.index]}", "kubernetes.io/role/internal-elb" = "1" }
}

resource "aws_route_table" "private" {
  count = local.private_route_tables

  vpc_id = aws_vpc.this.id
  tags   = { Name = "${var.name}-private-${count.index}" }

  # A table that is no longer wanted goes only after its subnet has another.
  lifecycle {
    create_before_destroy = true
  }
}

moved {
  from = aws_route_table.private
  to   = aws_route_table.private[0]
}

resource "aws_route_table_association" "private" {
  count = var.zones

  subnet_id      = aws_subnet.private[count.index].id
  route_table_id = aws_route_table.private[min(count.index, local.private_route_tables - 1)].id

  # A subnet changes its table when that already leads somewhere.
  depends_on = [aws_route.egress, aws_vpc_endpoint.s3]
}

# The way out, for what has no endpoint (the git host, package registries): subnets that hold a NAT gateway each and
# nothing else. Without `egress` the network is closed.
resource "aws_internet_gateway" "egress" {
  count = min(local.gateways, 1)

  vpc_id = aws_vpc.this.id
  tags   = { Name = "${var.name}-egress" }
}

# Counted down from the end of the range, which the private subnets fill from its beginning.
resource "aws_subnet" "egress" {
  count = local.gateways

  vpc_id                  = aws_vpc.this.id
  availability_zone       = local.zones[count.index]
  cidr_block              = cidrsubnet(var.cidr, 8, 255 - count.index)
  map_public_ip_on_launch = false
  tags                    = { Name = "${var.name}-egress-${local.zones[count.index]}" }
}

resource "aws_route_table" "egress" {
  count = min(local.gateways, 1)

  vpc_id = aws_vpc.this.id
  tags   = { Name = "${var.name}-egress" }
}

resource "aws_route" "internet" {
  count = min(local.gateways, 1)

  route_table_id         = aws_route_table.egress[0].id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = aws_internet_gateway.egress[0].id
}

resource "aws_route_table_association" "egress" {
  count = local.gateways

  subnet_id      = aws_subnet.egress[count.index].id
  route_table_id = aws_route_table.egress[0].id
}

resource "aws_eip" "egress" {
  count = local.gateways

  domain = "vpc"
  tags   = { Name = "${var.name}-egress-${local.zones[count.index]}" }
}

resource "aws_nat_gateway" "egress" {
  count = local.gateways

  allocation_id = aws_eip.egress[count.index].id
  subnet_id     = aws_subnet.egress[count.index].id
  tags          = { Name = "${var.name}-egress-${local.zones[count.index]}" }

  depends_on = [aws_internet_gateway.egress]
}

resource "aws_route" "egress" {
  count = local.gateways

  route_table_id         = aws_route_table.private[count.index].id
  destination_cidr_block = "0.0.0.0/0"
  nat_gateway_id         = aws_nat_gateway.egress[count.index].id
}

resource "aws_vpc_endpoint" "s3" {
  vpc_id            = aws_vpc.this.id
  service_name      = "com.amazonaws.${var.region}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = aws_route_table.private[*].id
  tags              = { Name = "${var.name}-s3" }
}

resource "aws_security_group" "endpoints" {
  name        = "${var.name}-endpoints"
  description = "AWS endpoints, reached from inside the network only."
  vpc_id      = aws_vpc.this.id
}

resource "aws_vpc_security_group_ingress_rule" "endpoints" {
  security_group_id = aws_security_group.endpoints.id
  description       = "HTTPS from the network."
  cidr_ipv4         = var.cidr
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_endpoint" "interface" {
  for_each = var.endpoints

  vpc_id              = aws_vpc.this.id
  service_name        = "com.amazonaws.${var.region}.${each.key}"
  vpc_endpoint_type   = "Interface"
  private_dns_enabled = true
  subnet_ids          = aws_subnet.private[*].id
  security_group_ids  = [aws_security_group.endpoints.id]
  tags                = { Name = "${var.name}-${each.key}" }
}

resource "aws_cloudwatch_log_group" "flow" {
  name              = "/${var.name}/network/flow"
  retention_in_days = var.flow_log_days
  kms_key_id        = var.key_arn
}

data "aws_iam_policy_document" "flow_trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["vpc-flow-logs.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [var.account_id]
    }
  }
}

data "aws_iam_policy_document" "flow" {
  statement {
    actions = [
      "logs:CreateLogStream",
      "logs:DescribeLogStreams",
      "logs:PutLogEvents",
    ]
    resources = ["arn:aws:logs:${var.region}:${var.account_id}:log-group:/${var.name}/network/flow:*"]
  }
}

resource "aws_iam_role" "flow" {
  name                 = "${var.name}-flow-logs"
  path                 = "/${var.name}/"
  description          = "Lets VPC flow logs write to their log group."
  assume_role_policy   = data.aws_iam_policy_document.flow_trust.json
  permissions_boundary = var.boundary_arn
}

resource "aws_iam_role_policy" "flow" {
  name   = "write-flow-logs"
  role   = aws_iam_role.flow.id
  policy = data.aws_iam_policy_document.flow.json
}

resource "aws_flow_log" "this" {
  vpc_id                   = aws_vpc.this.id
  traffic_type             = "ALL"
  log_destination          = aws_cloudwatch_log_group.flow.arn
  iam_role_arn             = aws_iam_role.flow.arn
  max_aggregation_interval = 60
}
