kubernetes = {
  version      = "1.33"
  public_cidrs = []
  log_days     = 180
  addons = {
    coredns    = "v1.12.1-eksbuild.2"
    kube-proxy = "v1.33.0-eksbuild.2"
    vpc-cni    = "v1.19.5-eksbuild.1"
  }
}

node_groups = {
  system   = { instance_types = ["m7i.large"], spot = false, disk_gb = 50, size = { least = 2, most = 4 } }
  serving  = { instance_types = ["m7i.large"], spot = false, disk_gb = 50, size = { least = 1, most = 3 } }
  training = { instance_types = ["m7i.2xlarge", "m6i.2xlarge", "m7a.2xlarge"], spot = true, disk_gb = 200, size = { least = 0, most = 4 } }
}
