resource "aws_launch_template" "this" {
  name        = var.name
  description = "Nodes of ${var.name}: encrypted disk, metadata by session token only and out of a pod's reach."

  block_device_mappings {
    device_name = "/dev/xvda"

    ebs {
      volume_size           = var.disk_gb
      volume_type           = "gp3"
      encrypted             = true
      kms_key_id            = var.key_arn
      delete_on_termination = true
    }
  }

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }
}

resource "aws_eks_node_group" "this" {
  cluster_name    = var.cluster_name
  node_group_name = var.name
  node_role_arn   = var.role_arn
  subnet_ids      = var.subnet_ids
  capacity_type   = var.spot ? "SPOT" : "ON_DEMAND"
  instance_types  = var.instance_types
  labels          = { "bakehouse/nodes" = var.purpose }

  launch_template {
    id      = aws_launch_template.this.id
    version = aws_launch_template.this.latest_version
  }

  scaling_config {
    min_size     = var.size.least
    max_size     = var.size.most
    desired_size = var.size.least
  }

  update_config {
    max_unavailable = 1
  }

  # Nodes for one purpose refuse the pods of another; the system's refuse none, so that a cluster always has somewhere to start.
  dynamic "taint" {
    for_each = var.purpose == "system" ? [] : [var.purpose]
    content {
      key    = "bakehouse/nodes"
      value  = taint.value
      effect = "NO_SCHEDULE"
    }
  }

  lifecycle {
    ignore_changes = [scaling_config[0].desired_size] # the autoscaler's to set
  }
}
