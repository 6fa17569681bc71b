mock_provider "aws" {
  source = "../../tests/mocks"
}

variables {
  name           = "bakehouse-staging-training"
  purpose        = "training"
  cluster_name   = "bakehouse-staging"
  role_arn       = "arn:aws:iam::111111111111:role/nodes"
  subnet_ids     = ["subnet-1", "subnet-2"]
  instance_types = ["m7i.2xlarge", "m6i.2xlarge"]
  spot           = true
  disk_gb        = 200
  size           = { least = 0, most = 4 }
  key_arn        = "arn:aws:kms:eu-central-1:111111111111:key/one"
}

run "keeps_other_pods_off_training_nodes" {
  command = plan

  assert {
    condition     = one(aws_eks_node_group.this.taint).value == "training" && one(aws_eks_node_group.this.taint).effect == "NO_SCHEDULE"
    error_message = "Training nodes must refuse pods that don't ask for them."
  }

  assert {
    condition     = aws_eks_node_group.this.capacity_type == "SPOT"
    error_message = "spot must make spot instances."
  }

  assert {
    condition     = aws_launch_template.this.metadata_options[0].http_tokens == "required" && aws_launch_template.this.metadata_options[0].http_put_response_hop_limit == 1
    error_message = "A pod must not reach the node's role through the metadata service."
  }
}

run "lets_everything_onto_system_nodes" {
  command = plan

  variables {
    purpose = "system"
    spot    = false
    size    = { least = 2, most = 4 }
  }

  assert {
    condition     = length(aws_eks_node_group.this.taint) == 0
    error_message = "A cluster needs somewhere to start."
  }
}

run "refuses_sizes_that_contradict_each_other" {
  command = plan

  variables {
    size = { least = 5, most = 4 }
  }

  expect_failures = [var.size]
}
