repository             = "bakehouse/bakehouse"
break_glass_principals = ["arn:aws:iam::111111111111:role/sso/platform-on-call"]
cluster_administrators = ["arn:aws:iam::111111111111:role/sso/platform-engineers"]
training_workflow      = true

namespaces = {
  services  = "bakehouse-staging"
  pipelines = "bakehouse-staging-training"
  tracking  = "mlflow"
}
