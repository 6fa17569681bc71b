locals {
  ports = { postgres = 5432, mysql = 3306 }
  logs  = { postgres = ["postgresql", "upgrade"], mysql = ["error"] }
}

resource "aws_db_subnet_group" "this" {
  name        = var.name
  description = "Private subnets of ${var.name}."
  subnet_ids  = var.subnet_ids
}

resource "aws_security_group" "this" {
  name        = "${var.name}-database"
  description = "The database ${var.name}, reached from the private subnets only."
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "this" {
  for_each = toset(var.client_cidrs)

  security_group_id = aws_security_group.this.id
  description       = "${var.engine} from a private subnet."
  cidr_ipv4         = each.key
  ip_protocol       = "tcp"
  from_port         = local.ports[var.engine]
  to_port           = local.ports[var.engine]
}

# Made before RDS would make them itself: without a key, and kept for ever.
resource "aws_cloudwatch_log_group" "this" {
  for_each = toset(local.logs[var.engine])

  name              = "/aws/rds/instance/${var.name}/${each.key}"
  retention_in_days = var.log_days
  kms_key_id        = var.log_key_arn
}

resource "aws_db_instance" "this" {
  # checkov:skip=CKV_AWS_293: a variable; our own rule REC-05 wants it where the settings say
  # checkov:skip=CKV_AWS_133: a variable, validated to be 7 to 35 days
  # checkov:skip=CKV_AWS_157: a variable; staging has no standby
  # checkov:skip=CKV_AWS_118: Performance Insights tells what the operating system would
  identifier     = var.name
  engine         = var.engine
  engine_version = var.engine_version
  instance_class = var.instance_class
  db_name        = var.database
  port           = local.ports[var.engine]

  # RDS makes the password, keeps it in Secrets Manager and rotates it: neither the code nor the state ever holds it.
  username                            = "platform"
  manage_master_user_password         = true
  master_user_secret_kms_key_id       = var.key_arn
  iam_database_authentication_enabled = true

  allocated_storage     = var.storage_gb
  max_allocated_storage = var.storage_gb * 5
  storage_type          = "gp3"
  storage_encrypted     = true
  kms_key_id            = var.key_arn

  db_subnet_group_name   = aws_db_subnet_group.this.name
  vpc_security_group_ids = [aws_security_group.this.id]
  publicly_accessible    = false
  multi_az               = var.multi_az

  backup_retention_period   = var.backup_days
  copy_tags_to_snapshot     = true
  delete_automated_backups  = false
  deletion_protection       = var.deletion_protection
  skip_final_snapshot       = false
  final_snapshot_identifier = "${var.name}-final"

  auto_minor_version_upgrade      = true
  enabled_cloudwatch_logs_exports = local.logs[var.engine]
  performance_insights_enabled    = true
  performance_insights_kms_key_id = var.key_arn

  depends_on = [aws_cloudwatch_log_group.this]
}
