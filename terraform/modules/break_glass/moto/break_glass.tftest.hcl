provider "aws" {
  region                      = "eu-central-1"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_region_validation      = true
}

variables {
  name         = "break-glass"
  path         = "/bakehouse-production/"
  principals   = ["arn:aws:iam::111111111111:role/sso/platform-on-call", "arn:aws:iam::111111111111:user/ada"]
  policy       = "{\"Version\":\"2012-10-17\",\"Statement\":[]}"
  boundary_arn = "arn:aws:iam::111111111111:policy/boundary"
}

run "is_taken_by_those_named_for_an_incident_and_by_users_with_a_fresh_second_factor" {
  command = plan

  assert {
    condition = { for statement in jsondecode(aws_iam_role.this.assume_role_policy).Statement : statement.Principal.AWS => statement.Condition } == {
      "arn:aws:iam::111111111111:role/sso/platform-on-call" = {
        StringLike = { "sts:RoleSessionName" = "incident-*" }
      }
      "arn:aws:iam::111111111111:user/ada" = {
        StringLike      = { "sts:RoleSessionName" = "incident-*" }
        Bool            = { "aws:MultiFactorAuthPresent" = "true" }
        NumericLessThan = { "aws:MultiFactorAuthAge" = "3600" }
      }
    }
    error_message = "The trust must name each person, and ask for the reason and for what he can show."
  }
}
