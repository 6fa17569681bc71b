"""The patterns that find what the CIS AWS Foundations Benchmark's chapter on monitoring wants to be told of, against
records as CloudTrail writes them. moto keeps a pattern and finds nothing by it, so what a pattern says is read here."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase
from typing import Any

import pytest

from tests.infra import offline

APPLY = "arn:aws:iam::111111111111:role/bakehouse-staging/github-apply"
BREAK_GLASS = "arn:aws:iam::111111111111:role/bakehouse-staging/break-glass"
Record = dict[str, Any]

# The benchmark's own lists (version 3.0), by number: the service, and the calls.
BENCHMARK = {
    "4.4": (
        "iam",
        """
            DeleteGroupPolicy DeleteRolePolicy DeleteUserPolicy PutGroupPolicy PutRolePolicy PutUserPolicy
            CreatePolicy DeletePolicy CreatePolicyVersion DeletePolicyVersion AttachRolePolicy DetachRolePolicy
            AttachUserPolicy DetachUserPolicy AttachGroupPolicy DetachGroupPolicy
        """,
    ),
    "4.5": ("cloudtrail", "CreateTrail UpdateTrail DeleteTrail StartLogging StopLogging"),
    "4.7": ("kms", "DisableKey ScheduleKeyDeletion"),
    "4.8": (
        "s3",
        """
            PutBucketAcl PutBucketPolicy PutBucketCors PutBucketLifecycle PutBucketReplication DeleteBucketPolicy
            DeleteBucketCors DeleteBucketLifecycle DeleteBucketReplication
        """,
    ),
    "4.9": ("config", "StopConfigurationRecorder DeleteDeliveryChannel PutDeliveryChannel PutConfigurationRecorder"),
    "4.10": (
        "ec2",
        """
            AuthorizeSecurityGroupIngress AuthorizeSecurityGroupEgress RevokeSecurityGroupIngress
            RevokeSecurityGroupEgress CreateSecurityGroup DeleteSecurityGroup
        """,
    ),
    "4.11": (
        "ec2",
        """
            CreateNetworkAcl CreateNetworkAclEntry DeleteNetworkAcl DeleteNetworkAclEntry ReplaceNetworkAclEntry
            ReplaceNetworkAclAssociation
        """,
    ),
    "4.12": (
        "ec2",
        """
            CreateCustomerGateway DeleteCustomerGateway AttachInternetGateway CreateInternetGateway
            DeleteInternetGateway DetachInternetGateway
        """,
    ),
    "4.13": (
        "ec2",
        """
            CreateRoute CreateRouteTable ReplaceRoute ReplaceRouteTableAssociation DeleteRouteTable DeleteRoute
            DisassociateRouteTable
        """,
    ),
    "4.14": (
        "ec2",
        """
            CreateVpc DeleteVpc ModifyVpcAttribute AcceptVpcPeeringConnection CreateVpcPeeringConnection
            DeleteVpcPeeringConnection RejectVpcPeeringConnection AttachClassicLinkVpc DetachClassicLinkVpc
            DisableVpcClassicLink EnableVpcClassicLink
        """,
    ),
    "4.15": (
        "organizations",
        """
            AcceptHandshake AttachPolicy CreateAccount CreateOrganizationalUnit CreatePolicy DeclineHandshake
            DeleteOrganization DeleteOrganizationalUnit DeletePolicy DetachPolicy DisablePolicyType EnablePolicyType
            InviteAccountToOrganization LeaveOrganization MoveAccount RemoveAccountFromOrganization UpdatePolicy
            UpdateOrganizationalUnit
        """,
    ),
}
# What a merge may do unsaid: a review came before it. Stopping the trail or losing a key is told of whoever does it.
MERGED = {"4.4", "4.8", "4.10", "4.11", "4.12", "4.13", "4.14"}

pytestmark = pytest.mark.skipif(offline.reason_to_skip() is not None, reason=offline.reason_to_skip() or "")


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """What is watched for, as Terraform puts it together."""
    copy = offline.working_copy(tmp_path_factory.mktemp("alarms"))
    roles = (f"-var=apply_role_arn={APPLY}", f"-var=break_glass_role_arn={BREAK_GLASS}")
    shown = copy.run("modules/watched_events", "console", *roles, given="jsonencode(local.events)\n").stdout
    found: dict[str, dict[str, str]] = json.loads(json.loads(shown))
    return found


@pytest.mark.parametrize("control", BENCHMARK)
def test_each_call_that_the_benchmark_names_raises_its_alarm_and_no_other(
    control: str, events: dict[str, dict[str, str]]
) -> None:
    source, names = BENCHMARK[control]
    for name in names.split():
        assert raised(events, call(source, name)) == [control], name
        assert raised(events, call(source, name, userIdentity={"type": "IAMUser", "userName": "somebody"})) == [control]
        assert raised(events, call(source, name, userIdentity=session(APPLY))) == [control] * (control not in MERGED)
        assert raised(events, call("elsewhere", name)) == [], "a call of the same name to another service"


@pytest.mark.parametrize(
    ("source", "name", "controls"),
    [
        ("iam", "UpdateAssumeRolePolicy", ["4.4"]),
        ("iam", "TagRole", ["4.4"]),
        ("iam", "GetRolePolicy", []),
        ("cloudtrail", "LookupEvents", []),
        ("kms", "Decrypt", []),
        ("s3", "PutBucketPublicAccessBlock", ["4.8"]),
        ("s3", "GetBucketPolicy", []),
        ("config", "DescribeConfigurationRecorders", []),
        ("ec2", "ModifySecurityGroupRules", ["4.10"]),
        ("ec2", "DeleteNatGateway", ["4.12"]),
        ("ec2", "DescribeRouteTables", []),
        ("ec2", "RunInstances", []),
        ("organizations", "DescribeOrganization", []),
    ],
)
def test_what_changes_as_much_raises_an_alarm_and_what_only_reads_does_not(
    source: str, name: str, controls: list[str], events: dict[str, dict[str, str]]
) -> None:
    assert raised(events, call(source, name)) == controls


@pytest.mark.parametrize("code", ["AccessDenied", "AccessDeniedException", "Client.UnauthorizedOperation"])
def test_a_refused_call_raises_an_alarm(code: str, events: dict[str, dict[str, str]]) -> None:
    assert raised(events, call("ec2", "DescribeVpcs", errorCode=code)) == ["4.1"]
    assert raised(events, call("ec2", "DescribeVpcs", errorCode="Client.InvalidVpcID.NotFound")) == []
    assert raised(events, call("s3", "HeadBucket", errorCode=code)) == [], "S3's clients ask so whether there is one"
    delivered = call("s3", "PutObject", errorCode=code, sourceIPAddress="delivery.logs.amazonaws.com")
    assert raised(events, delivered) == []


def test_a_sign_in_raises_an_alarm_where_it_lacks_a_factor_or_fails(events: dict[str, dict[str, str]]) -> None:
    def sign_in(kind: str, mfa: str, outcome: str = "Success", **more: Any) -> list[str]:
        return raised(
            events,
            call(
                "signin",
                "ConsoleLogin",
                userIdentity={"type": kind},
                additionalEventData={"MFAUsed": mfa},
                responseElements={"ConsoleLogin": outcome},
                **more,
            ),
        )

    assert sign_in("IAMUser", "No") == ["4.2"]
    assert sign_in("IAMUser", "Yes") == []
    assert sign_in("AssumedRole", "No") == [], "single sign-on asks for the factor itself"
    assert sign_in("IAMUser", "No", "Failure", errorMessage="Failed authentication") == ["4.6"]
    assert sign_in("Root", "Yes") == ["4.3"]


def test_root_raises_an_alarm_unless_a_service_acts_for_it(events: dict[str, dict[str, str]]) -> None:
    root = {"type": "Root", "arn": "arn:aws:iam::111111111111:root"}
    assert raised(events, call("ec2", "DescribeVpcs", userIdentity=root)) == ["4.3"]
    by_service = {**root, "invokedBy": "support.amazonaws.com"}
    assert raised(events, call("ec2", "DescribeVpcs", userIdentity=by_service)) == []
    assert raised(events, call("ec2", "DescribeVpcs", userIdentity=root, eventType="AwsServiceEvent")) == []


def test_breaking_the_glass_raises_an_alarm_and_taking_another_role_does_not(
    events: dict[str, dict[str, str]],
) -> None:
    def take(role: str) -> list[str]:
        return raised(events, call("sts", "AssumeRole", requestParameters={"roleArn": role}))

    assert take(BREAK_GLASS) == ["break-glass"]
    assert take(APPLY) == []


def test_a_pattern_that_mixes_and_with_or_is_not_read() -> None:
    with pytest.raises(AssertionError, match="mixes"):
        matches('{ ($.a = "1") || ($.a = "2") && ($.b = "3") }', {})


def call(source: str, name: str, **more: Any) -> Record:
    """A record of one call by a person's session, with what is said otherwise of it."""
    return {
        "eventVersion": "1.11",
        "eventType": "AwsApiCall",
        "eventSource": f"{source}.amazonaws.com",
        "eventName": name,
        "sourceIPAddress": "192.0.2.1",
        "userIdentity": session("arn:aws:iam::111111111111:role/sso/developer"),
        **more,
    }


def session(role: str) -> Record:
    """Whose session it is, as a record says it."""
    return {"type": "AssumedRole", "sessionContext": {"sessionIssuer": {"type": "Role", "arn": role}}}


def raised(events: dict[str, dict[str, str]], record: Record) -> list[str]:
    """The numbers of the alarms that a record raises, the name for one that has none."""
    return sorted(event["control"] or name for name, event in events.items() if matches(event["pattern"], record))


_CONDITION = re.compile(r'\(\$\.([\w.]+) (?:(NOT EXISTS)|(=|!=) "([^"]*)")\)')
_GROUP = re.compile(r"\((\w+(?: (?:&&|\|\|) \w+)*)\)|^(\w+(?: (?:&&|\|\|) \w+)*)$")


def matches(pattern: str, record: Record) -> bool:
    """Whether a record is found by a pattern of CloudWatch Logs, of the part of its language that is used here. Nothing
    but `NOT EXISTS` holds of a field that is not there: AWS doesn't say what `!=` does then."""
    left = _CONDITION.sub(lambda found: str(_holds(record, *found.groups())), pattern.strip("{} "))
    while left not in {"True", "False"}:
        reduced = _GROUP.sub(_outcome, left)
        assert reduced != left, f"not a pattern that is read here: {left}"
        left = reduced
    return left == "True"


def _outcome(group: re.Match[str]) -> str:
    terms = group.group(1) or group.group(2)
    assert not ("&&" in terms and "||" in terms), f"it mixes && with ||: {terms}"
    of = any if "||" in terms else all
    return str(of(word == "True" for word in re.findall(r"\w+", terms)))


def _holds(record: Record, path: str, absent: str | None, operator: str | None, wanted: str | None) -> bool:
    value: Any = record
    for step in path.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    if absent or value is None:
        return bool(absent) and value is None
    return fnmatchcase(str(value), str(wanted)) is (operator == "=")
