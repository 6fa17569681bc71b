run "finds_the_rooms_of_the_checkout" {
  command = plan

  assert {
    condition     = contains(output.models, "orders") && !contains(output.models, "common")
    error_message = "A model is a folder with a problem.yaml."
  }
}

run "refuses_a_folder_without_rooms" {
  command = plan

  variables {
    folder = "../../modules"
  }

  expect_failures = [var.folder]
}
