# What the two boundaries let through at most. A list, because a boundary that lets `*` through bounds nothing.
locals {
  workload_actions = [
    "cloudwatch:PutMetricData",
    "ecr:BatchCheckLayerAvailability",
    "ecr:BatchGetImage",
    "ecr:CompleteLayerUpload",
    "ecr:DescribeImages",
    "ecr:GetAuthorizationToken",
    "ecr:GetDownloadUrlForLayer",
    "ecr:InitiateLayerUpload",
    "ecr:PutImage",
    "ecr:UploadLayerPart",
    "kms:Decrypt",
    "kms:GenerateDataKey",
    "logs:CreateLogStream",
    "logs:PutLogEvents",
    "s3:AbortMultipartUpload",
    "s3:DeleteObject",
    "s3:GetObject",
    "s3:ListBucket",
    "s3:ListMultipartUploadParts",
    "s3:PutObject",
    "secretsmanager:DescribeSecret",
    "secretsmanager:GetSecretValue",
  ]

  # The roles of AWS services, of workflows and of people: the union of modules/github_role's two, break-glass, the
  # control plane and the nodes.
  platform_actions = concat(
    [for verb in ["Create", "Delete", "Describe", "Set", "Update", "Terminate"] : "autoscaling:${verb}*"],
    ["budgets:ModifyBudget", "budgets:TagResource", "budgets:ViewBudget", "budgets:ListTagsForResource", "budgets:UntagResource"],
    [for verb in ["Add", "Create", "Describe", "Get", "List", "Lookup", "Put", "Remove", "Start", "Update"] : "cloudtrail:${verb}*"],
    [for verb in ["Delete", "Describe", "Get", "List", "Put", "Tag", "Untag"] : "cloudwatch:${verb}*"],
    [for verb in ["Allocate", "Assign", "Associate", "Attach", "Authorize", "Create", "Delete", "Describe", "Detach", "Disassociate", "Get", "Modify", "Release", "Replace", "Revoke", "Run", "Terminate", "Unassign"] : "ec2:${verb}*"],
    [for verb in ["Batch", "Create", "Delete", "Describe", "Get", "List", "Put", "Replicate", "Tag", "Untag"] : "ecr:${verb}*"],
    [for verb in ["Access", "Associate", "Create", "Delete", "Describe", "Disassociate", "List", "Tag", "Untag", "Update"] : "eks:${verb}*"],
    [for verb in ["Add", "Create", "Delete", "Deregister", "Describe", "Modify", "Register", "Remove", "Set"] : "elasticloadbalancing:${verb}*"],
    [for verb in ["Add", "Attach", "Create", "Delete", "Detach", "Get", "List", "Pass", "Put", "Remove", "Set", "Tag", "Untag", "Update"] : "iam:${verb}*"],
    [for verb in ["Cancel", "Create", "Decrypt", "Delete", "Describe", "Disable", "Enable", "Generate", "Get", "List", "Put", "Revoke", "Schedule", "Tag", "Untag", "Update"] : "kms:${verb}*"],
    [for verb in ["Associate", "Create", "Delete", "Describe", "Filter", "Get", "List", "Put", "Start", "Stop", "Tag", "Untag"] : "logs:${verb}*"],
    [for verb in ["Add", "Create", "Delete", "Describe", "Failover", "List", "Modify", "Reboot", "Remove", "Restore"] : "rds:${verb}*"],
    [for verb in ["Abort", "Create", "Delete", "Get", "List", "Put"] : "s3:${verb}*"],
    [for verb in ["Create", "Describe", "Get", "List", "Rotate", "Tag"] : "secretsmanager:${verb}*"],
    [for verb in ["Create", "Delete", "Get", "List", "Publish", "Set", "Subscribe", "Tag", "Unsubscribe", "Untag"] : "sns:${verb}*"],
    ["sts:AssumeRole", "sts:GetCallerIdentity"],
  )
}
