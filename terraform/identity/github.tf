# GitHub's workflows: one role that plans and can't write, one that applies and needs the environment's approval.
# Promotion and rollback are commits: they have no role here.
resource "aws_iam_openid_connect_provider" "github" {
  url            = "https://token.actions.githubusercontent.com"
  client_id_list = ["sts.amazonaws.com"]
}

module "plan" {
  source = "../modules/github_role"

  name              = "github-plan"
  path              = local.path
  description       = "Plans ${local.name} for a pull request and looks for drift at night; reads configuration, no data."
  workload          = "plan"
  repository        = var.repository
  environment       = "${var.context.environment}-plan"
  pull_requests     = true
  policy_arns       = { read = aws_iam_policy.workflow["read"].arn }
  oidc_provider_arn = aws_iam_openid_connect_provider.github.arn
  boundary_arn      = local.platform_boundary
}

module "apply" {
  source = "../modules/github_role"

  name              = "github-apply"
  path              = local.path
  description       = "Applies ${local.name} after a merge and the approval that the GitHub environment asks for."
  workload          = "apply"
  repository        = var.repository
  environment       = var.context.environment
  session_seconds   = 7200 # a new cluster, or one brought up a version, may take an hour
  oidc_provider_arn = aws_iam_openid_connect_provider.github.arn
  boundary_arn      = local.platform_boundary

  policy_arns = {
    read     = aws_iam_policy.workflow["read"].arn
    state    = aws_iam_policy.workflow["state"].arn
    regional = aws_iam_policy.workflow["regional"].arn
    named    = aws_iam_policy.workflow["named"].arn
  }
}

resource "aws_iam_policy" "workflow" {
  for_each = {
    read     = data.aws_iam_policy_document.read.json
    state    = data.aws_iam_policy_document.state.json
    regional = data.aws_iam_policy_document.regional.json
    named    = data.aws_iam_policy_document.named.json
  }

  name        = "${local.name}-github-${each.key}"
  path        = local.path
  description = "What a workflow of ${local.name} may do: ${each.key}."
  policy      = each.value
}

locals {
  state = "arn:aws:s3:::${var.context.state_bucket}"
}

# Configuration, not content: no object of a bucket but the state, no secret, no log.
data "aws_iam_policy_document" "read" {
  # checkov:skip=CKV_AWS_356: reads of configuration, which AWS does not bind to resources
  statement {
    sid = "ReadConfiguration"
    actions = [
      "budgets:ListTagsForResource",
      "budgets:ViewBudget",
      "cloudtrail:Describe*",
      "cloudtrail:GetEventSelectors",
      "cloudtrail:GetInsightSelectors",
      "cloudtrail:GetTrail",
      "cloudtrail:GetTrailStatus",
      "cloudtrail:List*",
      "cloudwatch:Describe*",
      "cloudwatch:ListTagsForResource",
      "ec2:Describe*",
      "ecr:Describe*",
      "ecr:GetLifecyclePolicy",
      "ecr:GetRegistryPolicy",
      "ecr:ListTagsForResource",
      "eks:Describe*",
      "eks:List*",
      "iam:Get*",
      "iam:List*",
      "kms:Describe*",
      "kms:GetKeyPolicy",
      "kms:GetKeyRotationStatus",
      "kms:List*",
      "logs:Describe*",
      "logs:List*",
      "rds:Describe*",
      "rds:ListTagsForResource",
      "s3:GetAccelerateConfiguration",
      "s3:GetBucket*",
      "s3:GetEncryptionConfiguration",
      "s3:GetLifecycleConfiguration",
      "s3:GetReplicationConfiguration",
      "s3:ListBucket",
      "sns:GetSubscriptionAttributes",
      "sns:GetTopicAttributes",
      "sns:List*",
    ]
    resources = ["*"]
  }

  statement {
    sid       = "ReadState"
    actions   = ["s3:GetObject"]
    resources = ["${local.state}/*.tfstate"]
  }

  statement {
    sid       = "DecryptState"
    actions   = ["kms:Decrypt"]
    resources = [data.terraform_remote_state.bootstrap.outputs.state_key_arn]
  }
}

data "aws_iam_policy_document" "state" {
  statement {
    sid       = "WriteState"
    actions   = ["s3:PutObject"]
    resources = ["${local.state}/*.tfstate", "${local.state}/*.tfstate.tflock"]
  }

  statement {
    sid       = "ReadLock"
    actions   = ["s3:GetObject"]
    resources = ["${local.state}/*.tfstate.tflock"]
  }

  statement {
    sid       = "RemoveLock"
    actions   = ["s3:DeleteObject"]
    resources = ["${local.state}/*.tfstate.tflock"]
  }

  statement {
    sid       = "EncryptState"
    actions   = ["kms:GenerateDataKey"]
    resources = [data.terraform_remote_state.bootstrap.outputs.state_key_arn]
  }
}

# Services whose resources get their names from AWS, so that no pattern of names can hold them; the account and the
# region do.
data "aws_iam_policy_document" "regional" {
  statement {
    sid = "ChangeNetworkAndKeys"
    actions = [
      "ec2:AllocateAddress",
      "ec2:Associate*",
      "ec2:AttachInternetGateway",
      "ec2:AuthorizeSecurityGroup*",
      "ec2:Create*",
      "ec2:DeleteFlowLogs",
      "ec2:DeleteInternetGateway",
      "ec2:DeleteLaunchTemplate*",
      "ec2:DeleteNatGateway",
      "ec2:DeleteRoute*",
      "ec2:DeleteSecurityGroup",
      "ec2:DeleteSubnet",
      "ec2:DeleteTags",
      "ec2:DeleteVpc*",
      "ec2:DetachInternetGateway",
      "ec2:Disassociate*",
      "ec2:Modify*",
      "ec2:ReleaseAddress",
      "ec2:ReplaceRoute*",
      "ec2:RevokeSecurityGroup*",
      "ec2:RunInstances",
      "ecr:PutRegistryPolicy",
      "ecr:PutReplicationConfiguration",
      "kms:CancelKeyDeletion",
      "kms:CreateAlias",
      "kms:CreateGrant",
      "kms:CreateKey",
      "kms:DeleteAlias",
      "kms:EnableKeyRotation",
      "kms:PutKeyPolicy",
      "kms:TagResource",
      "kms:UntagResource",
      "kms:UpdateAlias",
      "kms:UpdateKeyDescription",
    ]
    resources = ["*"]

    condition {
      test     = "StringEquals"
      variable = "aws:RequestedRegion"
      values   = [var.context.region]
    }
  }
}

data "aws_iam_policy_document" "named" {
  statement {
    sid = "ChangeWhatBearsTheName"
    actions = [
      "budgets:ModifyBudget",
      "budgets:TagResource",
      "cloudtrail:AddTags",
      "cloudtrail:CreateTrail",
      "cloudtrail:PutEventSelectors",
      "cloudtrail:StartLogging",
      "cloudtrail:UpdateTrail",
      "cloudwatch:DeleteAlarms",
      "cloudwatch:PutMetricAlarm",
      "cloudwatch:TagResource",
      "ecr:CreateRepository",
      "ecr:DeleteLifecyclePolicy",
      "ecr:DeleteRepository",
      "ecr:PutImageScanningConfiguration",
      "ecr:PutLifecyclePolicy",
      "ecr:TagResource",
      "eks:AssociateAccessPolicy",
      "eks:Create*",
      "eks:Delete*",
      "eks:DisassociateAccessPolicy",
      "eks:TagResource",
      "eks:Update*",
      "logs:AssociateKmsKey",
      "logs:CreateLogGroup",
      "logs:DeleteLogGroup",
      "logs:DeleteMetricFilter",
      "logs:PutMetricFilter",
      "logs:PutRetentionPolicy",
      "logs:TagResource",
      "rds:AddTagsToResource",
      "rds:Create*",
      "rds:ModifyDB*",
      "rds:DeleteDB*",
      "s3:CreateBucket",
      "s3:DeleteBucketPolicy",
      "s3:PutBucket*",
      "s3:PutEncryptionConfiguration",
      "s3:PutLifecycleConfiguration",
      "sns:CreateTopic",
      "sns:DeleteTopic",
      "sns:SetTopicAttributes",
      "sns:Subscribe",
      "sns:TagResource",
    ]
    resources = [
      "arn:aws:budgets::${var.context.account_id}:budget/${local.name}",
      "arn:aws:cloudtrail:${var.context.region}:${var.context.account_id}:trail/${local.name}-*",
      "arn:aws:cloudwatch:${var.context.region}:${var.context.account_id}:alarm:${local.name}-*",
      "arn:aws:ecr:${var.context.region}:${var.context.account_id}:repository/${var.context.project}/*",
      "arn:aws:eks:${var.context.region}:${var.context.account_id}:*/${local.name}*",
      "arn:aws:logs:${var.context.region}:${var.context.account_id}:log-group:/${local.name}*",
      "arn:aws:logs:${var.context.region}:${var.context.account_id}:log-group:/aws/eks/${local.name}/*",
      "arn:aws:logs:${var.context.region}:${var.context.account_id}:log-group:/aws/rds/instance/${local.name}-*",
      "arn:aws:rds:${var.context.region}:${var.context.account_id}:*:${local.name}-*",
      "arn:aws:rds:${var.context.region}:${var.context.account_id}:og:default*",
      "arn:aws:rds:${var.context.region}:${var.context.account_id}:pg:default*",
      "arn:aws:s3:::${local.name}-*",
      "arn:aws:sns:${var.context.region}:${var.context.account_id}:${local.name}-*",
    ]
  }

  # RDS makes the secret of a database's password in the name of who makes the database.
  statement {
    sid       = "LetRdsKeepPasswords"
    actions   = ["secretsmanager:CreateSecret", "secretsmanager:TagResource"]
    resources = ["arn:aws:secretsmanager:${var.context.region}:${var.context.account_id}:secret:rds!db-*"]
  }

  statement {
    sid       = "EncryptPasswords"
    actions   = ["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey"]
    resources = [local.keys["databases"]]

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["secretsmanager.${var.context.region}.amazonaws.com"]
    }
  }

  # A role can be made or changed only under the environment's path, and only with one of its two boundaries.
  statement {
    sid = "MakeBoundedRoles"
    actions = [
      "iam:AttachRolePolicy",
      "iam:CreateRole",
      "iam:DeleteRolePolicy",
      "iam:DetachRolePolicy",
      "iam:PutRolePermissionsBoundary",
      "iam:PutRolePolicy",
    ]
    resources = ["arn:aws:iam::${var.context.account_id}:role${local.path}*"]

    condition {
      test     = "StringEquals"
      variable = "iam:PermissionsBoundary"
      values   = [local.workload_boundary, local.platform_boundary]
    }
  }

  statement {
    sid = "KeepRolesAndPolicies"
    actions = [
      "iam:CreatePolicy",
      "iam:CreatePolicyVersion",
      "iam:DeletePolicy",
      "iam:DeletePolicyVersion",
      "iam:DeleteRole",
      "iam:TagPolicy",
      "iam:TagRole",
      "iam:UpdateAssumeRolePolicy",
      "iam:UpdateRole",
    ]
    resources = [
      "arn:aws:iam::${var.context.account_id}:policy${local.path}*",
      "arn:aws:iam::${var.context.account_id}:role${local.path}*",
    ]
  }

  statement {
    sid       = "HandRolesToServices"
    actions   = ["iam:PassRole"]
    resources = ["arn:aws:iam::${var.context.account_id}:role${local.path}*"]

    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["cloudtrail.amazonaws.com", "ec2.amazonaws.com", "eks.amazonaws.com", "vpc-flow-logs.amazonaws.com"]
    }
  }

  # A person or workflow that could change itself would be bound by nothing.
  statement {
    sid     = "NeverItself"
    effect  = "Deny"
    actions = ["iam:AttachRolePolicy", "iam:DetachRolePolicy", "iam:PutRolePolicy", "iam:UpdateAssumeRolePolicy", "iam:DeleteRolePolicy"]
    resources = [
      "arn:aws:iam::${var.context.account_id}:role${local.path}break-glass",
      "arn:aws:iam::${var.context.account_id}:role${local.path}github-*",
    ]
  }

  statement {
    sid     = "NeverWhatBindsIt"
    effect  = "Deny"
    actions = ["iam:CreatePolicyVersion", "iam:DeletePolicy", "iam:DeletePolicyVersion", "iam:SetDefaultPolicyVersion"]
    resources = [
      "arn:aws:iam::${var.context.account_id}:policy${local.path}*-boundary",
      "arn:aws:iam::${var.context.account_id}:policy${local.path}*-github-*",
    ]
  }
}
