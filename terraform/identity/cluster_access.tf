# Who administers the cluster: whom the values name, and whoever is called in an emergency. No workflow does: what runs in
# the cluster comes from git, by Argo CD. Here and not in the cluster root, because EKS takes only roles that exist.
locals {
  cluster_admins = merge(
    { for arn in var.cluster_administrators : reverse(split("/", arn))[0] => arn },
    { break-glass = module.break_glass.arn },
  )
}

resource "aws_eks_access_entry" "admin" {
  for_each = local.cluster_admins

  cluster_name  = data.terraform_remote_state.cluster.outputs.cluster.name
  principal_arn = each.value
}

resource "aws_eks_access_policy_association" "admin" {
  for_each = local.cluster_admins

  cluster_name  = aws_eks_access_entry.admin[each.key].cluster_name
  principal_arn = each.value
  policy_arn    = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"

  access_scope {
    type = "cluster"
  }
}
