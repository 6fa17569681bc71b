repository             = "bakehouse/bakehouse"
break_glass_principals = ["arn:aws:iam::222222222222:role/sso/platform-on-call"]
cluster_administrators = ["arn:aws:iam::222222222222:role/sso/platform-engineers"]
training_workflow      = false

namespaces = {
  services  = "bakehouse-production"
  pipelines = "bakehouse-production-training"
  tracking  = "mlflow"
}
