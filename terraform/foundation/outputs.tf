output "network" {
  description = "The network, its private subnets, and the addresses that it is seen from outside by."
  value = {
    vpc_id               = module.network.vpc_id
    cidr                 = module.network.cidr
    private_subnet_ids   = module.network.private_subnet_ids
    private_subnet_cidrs = module.network.private_subnet_cidrs
    egress_addresses     = module.network.egress_addresses
  }
}

output "key_arns" {
  description = "KMS keys by the class of data that they encrypt."
  value       = { for name, key in module.key : name => key.arn }
}

output "boundary_arns" {
  description = "Permission boundaries: of pods (workload) and of everything else (platform)."
  value       = { workload = module.workload_boundary.arn, platform = module.platform_boundary.arn }
}

output "bucket_names" {
  description = "Names that the storage root gives its buckets; the trail records them from the first object on."
  value       = local.buckets
}

output "access_log_bucket" {
  description = "Bucket that every other bucket's access logs go to."
  value       = module.access_logs.name
}

output "trail" {
  description = "The audit trail: its ARN, its bucket, and the log group that alarms filter."
  value = {
    arn            = module.trail.arn
    bucket_name    = module.trail.bucket_name
    log_group_name = module.trail.log_group_name
  }
}
