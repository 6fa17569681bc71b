retention_days = { zenml = 90, predictions = 180, logs = 180 }
evidence       = { mode = "GOVERNANCE", days = 365 }
registry       = { replicate_to = "222222222222" }

databases = {
  mlflow = { engine = "postgres", engine_version = "17", instance_class = "db.t4g.small", storage_gb = 20, multi_az = false, backup_days = 7, deletion_protection = false }
  zenml  = { engine = "mysql", engine_version = "8.4", instance_class = "db.t4g.medium", storage_gb = 20, multi_az = false, backup_days = 7, deletion_protection = false }
}
