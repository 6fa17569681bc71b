variables {
  apply_role_arn       = "arn:aws:iam::111111111111:role/bakehouse-staging/github-apply"
  break_glass_role_arn = "arn:aws:iam::111111111111:role/bakehouse-staging/break-glass"
}

run "watches_for_all_that_the_benchmark_s_chapter_on_monitoring_names" {
  command = plan

  assert {
    condition     = toset(keys(output.controls)) == toset([for number in range(1, 16) : "4.${number}"])
    error_message = "Recommendations 4.1 to 4.15 must each have an event."
  }

  assert {
    condition     = strcontains(output.events["route-changed"].description, "4.13.")
    error_message = "Whoever gets the alarm must read which recommendation it is for."
  }
}

run "names_the_roles_that_it_was_given" {
  command = plan

  assert {
    condition     = strcontains(output.events["break-glass"].pattern, var.break_glass_role_arn)
    error_message = "The role for an emergency must be watched."
  }

  assert {
    condition     = strcontains(output.events["permissions-changed"].pattern, var.apply_role_arn) && !strcontains(output.events["trail-changed"].pattern, var.apply_role_arn)
    error_message = "Terraform's own runs must raise no alarm by what they do in a merge, and one by what they never should."
  }
}

run "refuses_a_role_without_an_arn" {
  command = plan

  variables {
    apply_role_arn = "github-apply"
  }

  expect_failures = [var.apply_role_arn]
}
