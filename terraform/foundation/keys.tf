# One key for each class of data, so that being let near one is not being let near another.
module "key" {
  source   = "../modules/key"
  for_each = local.keys

  name        = "${local.name}/${each.key}"
  description = each.value.description
  account_id  = var.context.account_id
  services    = each.value.services
  protected   = contains(["artifacts", "logs"], each.key) # of evidence and trail
  disk_region = each.key == "cluster" ? var.context.region : null
}

locals {
  keys = {
    data        = { description = "Encrypts the data versions that models train on.", services = {} }
    artifacts   = { description = "Encrypts model artifacts, reports, evidence and images.", services = {} }
    predictions = { description = "Encrypts the prediction logs.", services = {} }
    databases   = { description = "Encrypts the databases of MLflow and ZenML, and their secrets.", services = {} }
    cluster     = { description = "Encrypts the cluster's secrets and the nodes' disks.", services = {} }
    logs = {
      description = "Encrypts the audit trail, log groups and alarms."
      services = {
        CloudWatchLogs = {
          principal = "logs.${var.context.region}.amazonaws.com"
          actions   = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey", "kms:ReEncryptFrom", "kms:ReEncryptTo"]
          condition = {
            test     = "ArnLike"
            variable = "kms:EncryptionContext:aws:logs:arn"
            values   = ["arn:aws:logs:${var.context.region}:${var.context.account_id}:log-group:*"]
          }
        }
        CloudTrail = {
          principal = "cloudtrail.amazonaws.com"
          actions   = ["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey"]
          condition = {
            test     = "StringEquals"
            variable = "aws:SourceArn"
            values   = ["arn:aws:cloudtrail:${var.context.region}:${var.context.account_id}:trail/${local.trail}"]
          }
        }
        Alarms = {
          principal = "cloudwatch.amazonaws.com"
          actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
          condition = {
            test     = "StringEquals"
            variable = "aws:SourceAccount"
            values   = [var.context.account_id]
          }
        }
      }
    }
  }
}
