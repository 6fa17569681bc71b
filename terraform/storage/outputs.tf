output "buckets" {
  description = "Buckets by purpose, as their names."
  value       = merge({ for purpose, bucket in module.bucket : purpose => bucket.name }, { evidence = module.evidence.name })
}

output "registry" {
  description = "Host of the registry, host of the one that releases name (where images are replicated from), and repositories by model."
  value = {
    host         = "${var.context.account_id}.dkr.ecr.${var.context.region}.amazonaws.com"
    source_host  = "${coalesce(var.registry.replicate_from, var.context.account_id)}.dkr.ecr.${var.context.region}.amazonaws.com"
    repositories = { for model, repository in module.repository : model => repository.url }
  }
}

output "repository_arns" {
  description = "ARNs of the repositories by model."
  value       = { for model, repository in module.repository : model => repository.arn }
}

output "databases" {
  description = "Where each application's database is, and the secret with its master user."
  value = {
    for name, database in module.database : name => {
      engine     = var.databases[name].engine
      address    = database.address
      port       = database.port
      name       = name
      identifier = database.identifier
      secret_arn = database.secret_arn
    }
  }
}
