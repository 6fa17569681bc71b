mock_provider "aws" {
  source = "../../tests/mocks"
}

variables {
  name               = "bakehouse-staging"
  account_id         = "111111111111"
  path               = "/bakehouse-staging/"
  kubernetes_version = "1.33"
  subnet_ids         = ["subnet-1", "subnet-2"]
  public_cidrs       = []
  addons             = { coredns = "v1.12.1-eksbuild.2" }
  log_days           = 180
  key_arn            = "arn:aws:kms:eu-central-1:111111111111:key/one"
  log_key_arn        = "arn:aws:kms:eu-central-1:111111111111:key/two"
  boundary_arn       = "arn:aws:iam::111111111111:policy/boundary"
}

run "is_private_and_tells_everything" {
  command = plan

  assert {
    condition     = aws_eks_cluster.this.vpc_config[0].endpoint_private_access && !aws_eks_cluster.this.vpc_config[0].endpoint_public_access
    error_message = "Without ranges the API must be private."
  }

  assert {
    condition     = length(aws_eks_cluster.this.enabled_cluster_log_types) == 5
    error_message = "The control plane must log everything."
  }

  assert {
    condition     = !aws_eks_cluster.this.access_config[0].bootstrap_cluster_creator_admin_permissions
    error_message = "Who makes the cluster must not administer it for ever by that alone."
  }

  assert {
    condition     = contains(aws_eks_cluster.this.encryption_config[0].resources, "secrets")
    error_message = "Secrets must be encrypted."
  }
}

run "opens_only_to_small_ranges" {
  command = plan

  variables {
    public_cidrs = ["198.51.100.0/24"]
  }

  assert {
    condition     = aws_eks_cluster.this.vpc_config[0].endpoint_public_access && aws_eks_cluster.this.vpc_config[0].public_access_cidrs == toset(["198.51.100.0/24"])
    error_message = "The API must be open to the range and to nobody else."
  }
}

run "refuses_the_whole_internet" {
  command = plan

  variables {
    public_cidrs = ["0.0.0.0/0"]
  }

  expect_failures = [var.public_cidrs]
}

run "refuses_an_addon_without_an_exact_version" {
  command = plan

  variables {
    addons = { coredns = "latest" }
  }

  expect_failures = [var.addons]
}
