# The events of the CIS AWS Foundations Benchmark's chapter on monitoring, by the numbers of version 3.0, and the
# break-glass role's. The patterns are the benchmark's but for what a comment names.
locals {
  # What is no more than a list of calls to one service. `merged`: Terraform makes them too, after a review.
  calls = {
    # Any change at all in IAM, where the benchmark lists those of policies: who may take a role counts as well, and so
    # does a role's tag, by which a model's data is reached.
    permissions-changed = {
      control     = "4.4"
      description = "A policy or a role changed outside Terraform's own runs."
      source      = "iam.amazonaws.com"
      merged      = true
      names       = ["Add*", "Attach*", "Create*", "Delete*", "Detach*", "Put*", "Remove*", "SetDefaultPolicyVersion", "Tag*", "Untag*", "Update*"]
    }
    trail-changed = {
      control     = "4.5"
      description = "The audit trail was changed or stopped."
      source      = "cloudtrail.amazonaws.com"
      merged      = false
      names       = ["CreateTrail", "DeleteTrail", "StartLogging", "StopLogging", "UpdateTrail"]
    }
    key-disabled = {
      control     = "4.7"
      description = "A KMS key was disabled or is to be deleted: what it encrypts can't be read any more."
      source      = "kms.amazonaws.com"
      merged      = false
      names       = ["DisableKey", "ScheduleKeyDeletion"]
    }
    # And what opens a bucket to the public.
    bucket-policy-changed = {
      control     = "4.8"
      description = "Who may reach a bucket, or how long it keeps what it has, changed outside Terraform's own runs."
      source      = "s3.amazonaws.com"
      merged      = true
      names = [
        "DeleteBucketCors",
        "DeleteBucketLifecycle",
        "DeleteBucketPolicy",
        "DeleteBucketPublicAccessBlock",
        "DeleteBucketReplication",
        "PutBucketAcl",
        "PutBucketCors",
        "PutBucketLifecycle",
        "PutBucketPolicy",
        "PutBucketPublicAccessBlock",
        "PutBucketReplication",
      ]
    }
    recorder-changed = {
      control     = "4.9"
      description = "AWS Config was changed or stopped."
      source      = "config.amazonaws.com"
      merged      = false
      names       = ["DeleteDeliveryChannel", "PutConfigurationRecorder", "PutDeliveryChannel", "StopConfigurationRecorder"]
    }
    # And the call by which a rule is changed where it stands.
    security-group-changed = {
      control     = "4.10"
      description = "A security group changed outside Terraform's own runs."
      source      = "ec2.amazonaws.com"
      merged      = true
      names = [
        "AuthorizeSecurityGroupEgress",
        "AuthorizeSecurityGroupIngress",
        "CreateSecurityGroup",
        "DeleteSecurityGroup",
        "ModifySecurityGroupRules",
        "RevokeSecurityGroupEgress",
        "RevokeSecurityGroupIngress",
      ]
    }
    network-acl-changed = {
      control     = "4.11"
      description = "A network access control list changed outside Terraform's own runs."
      source      = "ec2.amazonaws.com"
      merged      = true
      names = [
        "CreateNetworkAcl",
        "CreateNetworkAclEntry",
        "DeleteNetworkAcl",
        "DeleteNetworkAclEntry",
        "ReplaceNetworkAclAssociation",
        "ReplaceNetworkAclEntry",
      ]
    }
    # And NAT gateways, by which our networks lead out.
    gateway-changed = {
      control     = "4.12"
      description = "A way in or out of a network changed outside Terraform's own runs."
      source      = "ec2.amazonaws.com"
      merged      = true
      names = [
        "AttachInternetGateway",
        "CreateCustomerGateway",
        "CreateInternetGateway",
        "CreateNatGateway",
        "DeleteCustomerGateway",
        "DeleteInternetGateway",
        "DeleteNatGateway",
        "DetachInternetGateway",
      ]
    }
    route-changed = {
      control     = "4.13"
      description = "A route table changed outside Terraform's own runs."
      source      = "ec2.amazonaws.com"
      merged      = true
      names = [
        "CreateRoute",
        "CreateRouteTable",
        "DeleteRoute",
        "DeleteRouteTable",
        "DisassociateRouteTable",
        "ReplaceRoute",
        "ReplaceRouteTableAssociation",
      ]
    }
    network-changed = {
      control     = "4.14"
      description = "A network, or what it is connected with, changed outside Terraform's own runs."
      source      = "ec2.amazonaws.com"
      merged      = true
      names = [
        "AcceptVpcPeeringConnection",
        "AttachClassicLinkVpc",
        "CreateVpc",
        "CreateVpcPeeringConnection",
        "DeleteVpc",
        "DeleteVpcPeeringConnection",
        "DetachClassicLinkVpc",
        "DisableVpcClassicLink",
        "EnableVpcClassicLink",
        "ModifyVpcAttribute",
        "RejectVpcPeeringConnection",
      ]
    }
    organization-changed = {
      control     = "4.15"
      description = "The organization, or this account's place in it, changed."
      source      = "organizations.amazonaws.com"
      merged      = false
      names = [
        "AcceptHandshake",
        "AttachPolicy",
        "CreateAccount",
        "CreateOrganizationalUnit",
        "CreatePolicy",
        "DeclineHandshake",
        "DeleteOrganization",
        "DeleteOrganizationalUnit",
        "DeletePolicy",
        "DetachPolicy",
        "DisablePolicyType",
        "EnablePolicyType",
        "InviteAccountToOrganization",
        "LeaveOrganization",
        "MoveAccount",
        "RemoveAccountFromOrganization",
        "UpdateOrganizationalUnit",
        "UpdatePolicy",
      ]
    }
  }

  # Whoever has no session, such as a user or root, has no issuer of one: nothing says what != makes of that.
  issuer       = "$.userIdentity.sessionContext.sessionIssuer.arn"
  not_a_merge  = "((${local.issuer} NOT EXISTS) || (${local.issuer} != \"${var.apply_role_arn}\"))"
  called_names = { for name, event in local.calls : name => join(" || ", [for call in event.names : "($.eventName = \"${call}\")"]) }

  events = merge(
    {
      for name, event in local.calls : name => {
        control     = event.control
        description = event.description
        pattern     = "{ ($.eventSource = \"${event.source}\") && (${local.called_names[name]})${event.merged ? " && ${local.not_a_merge}" : ""} }"
      }
    },
    {
      break-glass = {
        control     = null
        description = "Somebody took the break-glass role. The session's name says why; ask them."
        pattern     = "{ ($.eventName = \"AssumeRole\") && ($.requestParameters.roleArn = \"${var.break_glass_role_arn}\") }"
      }
      access-denied = {
        control     = "4.1"
        description = "A call was refused: a policy that is too narrow, or somebody who tries doors."
        pattern     = "{ (($.errorCode = \"*UnauthorizedOperation\") || ($.errorCode = \"AccessDenied*\")) && ($.sourceIPAddress != \"delivery.logs.amazonaws.com\") && ($.eventName != \"HeadBucket\") }"
      }
      # The benchmark's pattern for accounts with single sign-on, where AWS doesn't see the second factor.
      sign-in-without-mfa = {
        control     = "4.2"
        description = "Somebody signed in to the console as a user without a second factor."
        pattern     = "{ ($.eventName = \"ConsoleLogin\") && ($.additionalEventData.MFAUsed != \"Yes\") && ($.userIdentity.type = \"IAMUser\") && ($.responseElements.ConsoleLogin = \"Success\") }"
      }
      root-used = {
        control     = "4.3"
        description = "The account's root user did something."
        pattern     = "{ ($.userIdentity.type = \"Root\") && ($.userIdentity.invokedBy NOT EXISTS) && ($.eventType != \"AwsServiceEvent\") }"
      }
      sign-in-failed = {
        control     = "4.6"
        description = "Somebody tried a wrong password at the console."
        pattern     = "{ ($.eventName = \"ConsoleLogin\") && ($.errorMessage = \"Failed authentication\") }"
      }
    },
  )
}
