mock_provider "aws" {
  source = "../../tests/mocks"
}

variables {
  name    = "bakehouse/orders"
  model   = "orders"
  key_arn = "arn:aws:kms:eu-central-1:111111111111:key/one"
}

run "keeps_every_tagged_image_as_it_is" {
  command = plan

  assert {
    condition     = aws_ecr_repository.this.image_tag_mutability == "IMMUTABLE" && aws_ecr_repository.this.image_scanning_configuration[0].scan_on_push
    error_message = "Tags must be immutable and images scanned."
  }

  assert {
    condition     = alltrue([for rule in jsondecode(aws_ecr_lifecycle_policy.this.policy).rules : rule.selection.tagStatus == "untagged"])
    error_message = "Only untagged images may expire: a rollback needs the others."
  }
}

run "refuses_a_repository_of_no_project" {
  command = plan

  variables {
    name = "orders"
  }

  expect_failures = [var.name]
}
