plugin "terraform" {
  enabled = true
  preset  = "all"
}

# It wants every variable in variables.tf; the one that all roots share stands in context.tf, the same in each.
rule "terraform_standard_module_structure" {
  enabled = false
}
