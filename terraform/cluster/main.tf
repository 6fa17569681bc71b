locals {
  path = "/${local.name}/" # of roles and policies

  foundation = data.terraform_remote_state.foundation.outputs
}

module "cluster" {
  source = "../modules/cluster"

  name               = local.name
  account_id         = var.context.account_id
  path               = local.path
  kubernetes_version = var.kubernetes.version
  subnet_ids         = local.foundation.network.private_subnet_ids
  public_cidrs       = var.kubernetes.public_cidrs
  addons             = var.kubernetes.addons
  log_days           = var.kubernetes.log_days
  key_arn            = local.foundation.key_arns["cluster"]
  log_key_arn        = local.foundation.key_arns["logs"]
  boundary_arn       = local.foundation.boundary_arns["platform"]
}

data "aws_iam_policy_document" "nodes_trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ec2.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "nodes" {
  name                 = "${local.name}-nodes"
  path                 = local.path
  description          = "Nodes of ${local.name}: they join the cluster and pull images; pods have roles of their own."
  assume_role_policy   = data.aws_iam_policy_document.nodes_trust.json
  permissions_boundary = local.foundation.boundary_arns["platform"]
  tags                 = { workload = "nodes" }
}

resource "aws_iam_role_policy_attachment" "nodes" {
  for_each = toset(["AmazonEC2ContainerRegistryPullOnly", "AmazonEKS_CNI_Policy", "AmazonEKSWorkerNodePolicy"])

  role       = aws_iam_role.nodes.name
  policy_arn = "arn:aws:iam::aws:policy/${each.key}"
}

module "node_group" {
  source   = "../modules/node_group"
  for_each = var.node_groups

  name           = "${local.name}-${each.key}"
  purpose        = each.key
  cluster_name   = module.cluster.name
  role_arn       = aws_iam_role.nodes.arn
  subnet_ids     = local.foundation.network.private_subnet_ids
  instance_types = each.value.instance_types
  spot           = each.value.spot
  disk_gb        = each.value.disk_gb
  size           = each.value.size
  key_arn        = local.foundation.key_arns["cluster"]

  depends_on = [aws_iam_role_policy_attachment.nodes]
}
