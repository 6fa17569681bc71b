output "cluster" {
  description = "How to reach the Kubernetes API."
  value = {
    name                  = module.cluster.name
    endpoint              = module.cluster.endpoint
    certificate_authority = module.cluster.certificate_authority
  }
}

output "oidc" {
  description = "Identity provider that pods prove themselves to, and its issuer without https://."
  value = {
    provider_arn = module.cluster.oidc_provider_arn
    issuer       = module.cluster.oidc_issuer
  }
}

output "nodes" {
  description = "Label and taint of the nodes, and its value for services and for pipelines."
  value = {
    key       = "bakehouse/nodes"
    services  = "serving"
    pipelines = "training"
  }

  precondition {
    condition     = length(setsubtract(["serving", "training"], keys(var.node_groups))) == 0
    error_message = "node_groups must hold serving and training."
  }
}

output "node_role_arn" {
  description = "Role of the nodes."
  value       = aws_iam_role.nodes.arn
}
