output "vpc_id" {
  description = "The network."
  value       = aws_vpc.this.id
}

output "cidr" {
  description = "IPv4 range of the network."
  value       = aws_vpc.this.cidr_block
}

output "private_subnet_ids" {
  description = "Private subnets, one for each zone."
  value       = aws_subnet.private[*].id
}

output "private_subnet_cidrs" {
  description = "Ranges of the private subnets, in the same order."
  value       = aws_subnet.private[*].cidr_block
}

output "egress_addresses" {
  description = "Public addresses that the network is seen from, one for each NAT gateway; none where it is closed."
  value       = aws_eip.egress[*].public_ip
}
