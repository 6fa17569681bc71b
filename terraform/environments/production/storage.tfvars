retention_days = { zenml = 365, predictions = 365, logs = 365 }
evidence       = { mode = "COMPLIANCE", days = 3650 }
registry       = { replicate_from = "111111111111" }

databases = {
  mlflow = { engine = "postgres", engine_version = "17", instance_class = "db.m7g.large", storage_gb = 100, multi_az = true, backup_days = 35, deletion_protection = true }
  zenml  = { engine = "mysql", engine_version = "8.4", instance_class = "db.m7g.large", storage_gb = 50, multi_az = true, backup_days = 35, deletion_protection = true }
}
