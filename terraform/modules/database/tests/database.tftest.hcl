mock_provider "aws" {
  source = "../../tests/mocks"
}

variables {
  name                = "bakehouse-production-mlflow"
  engine              = "postgres"
  engine_version      = "17"
  database            = "mlflow"
  instance_class      = "db.m7g.large"
  storage_gb          = 100
  multi_az            = true
  backup_days         = 35
  deletion_protection = true
  key_arn             = "arn:aws:kms:eu-central-1:111111111111:key/one"
  log_days            = 365
  log_key_arn         = "arn:aws:kms:eu-central-1:111111111111:key/logs"
  vpc_id              = "vpc-1"
  subnet_ids          = ["subnet-1", "subnet-2"]
  client_cidrs        = ["10.30.0.0/20", "10.30.16.0/20"]
}

run "is_private_encrypted_and_restorable" {
  command = plan

  assert {
    condition     = aws_db_instance.this.storage_encrypted && !aws_db_instance.this.publicly_accessible
    error_message = "The database must be encrypted and have no public address."
  }

  assert {
    condition     = aws_db_instance.this.manage_master_user_password
    error_message = "RDS must keep the password."
  }

  assert {
    condition     = !aws_db_instance.this.skip_final_snapshot && aws_db_instance.this.backup_retention_period == 35
    error_message = "The database must be restorable."
  }

  assert {
    condition     = alltrue([for rule in aws_vpc_security_group_ingress_rule.this : rule.from_port == 5432 && rule.to_port == 5432])
    error_message = "Only the database's own port may be open."
  }
}

run "keeps_every_log_that_it_exports_under_a_key" {
  command = plan

  assert {
    condition     = toset([for group in aws_cloudwatch_log_group.this : group.name]) == toset([for kind in aws_db_instance.this.enabled_cloudwatch_logs_exports : "/aws/rds/instance/bakehouse-production-mlflow/${kind}"])
    error_message = "Each log that is exported must have its own group."
  }

  assert {
    condition     = alltrue([for group in aws_cloudwatch_log_group.this : group.retention_in_days == 365 && group.kms_key_id == "arn:aws:kms:eu-central-1:111111111111:key/logs"])
    error_message = "Each group must be kept for the days that are asked for, under the key."
  }
}

run "refuses_logs_for_ever" {
  command = plan

  variables {
    log_days = 0
  }

  expect_failures = [var.log_days]
}

run "refuses_the_internet_as_a_client" {
  command = plan

  variables {
    client_cidrs = ["0.0.0.0/0"]
  }

  expect_failures = [var.client_cidrs]
}

run "refuses_backups_of_a_day" {
  command = plan

  variables {
    backup_days = 1
  }

  expect_failures = [var.backup_days]
}
