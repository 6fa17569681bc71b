"""Policies are evaluated as AWS documents it, and what can't be evaluated gives no access."""

from __future__ import annotations

import json
from typing import Any

import pytest

from terraform.policies.documents import DocumentError, Statement, parse
from terraform.policies.evaluation import Principal, Target, allowed, assumable

ROLE = "arn:aws:iam::111111111111:role/reader"
OBJECT = "arn:aws:s3:::data/orders/file"


def document(*statements: dict[str, Any]) -> tuple[Statement, ...]:
    return parse(json.dumps({"Version": "2012-10-17", "Statement": list(statements)}))


def allow(action: str | list[str] = "s3:GetObject", resource: str | list[str] = OBJECT, **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def may(principal: Principal, target: Target, action: str = "s3:GetObject", **context: str) -> bool:
    return allowed(principal, action, target, context).allowed


def test_nothing_is_allowed_that_no_statement_allows() -> None:
    assert not may(Principal(ROLE), Target(OBJECT, "111111111111"))


def test_an_explicit_denial_wins_wherever_it_stands() -> None:
    target = Target(OBJECT, "111111111111")
    denial = {"Effect": "Deny", "Action": "s3:*", "Resource": "*"}
    by_bucket = Target(OBJECT, "111111111111", policy=document({**denial, "Principal": "*"}))
    assert may(Principal(ROLE, policies=document(allow())), target)
    assert not may(Principal(ROLE, policies=document(allow(), denial)), target)
    assert not may(Principal(ROLE, policies=document(allow()), boundary=document(allow(), denial)), target)
    assert not may(Principal(ROLE, policies=document(allow())), by_bucket)


def test_a_boundary_grants_nothing_and_bounds_what_is_granted() -> None:
    target = Target(OBJECT, "111111111111")
    assert not may(Principal(ROLE, boundary=document(allow())), target)
    assert not may(Principal(ROLE, policies=document(allow()), boundary=document(allow("s3:PutObject"))), target)
    assert not may(Principal(ROLE, policies=document(allow()), boundary=()), target)
    assert may(Principal(ROLE, policies=document(allow()), boundary=document(allow("s3:Get*"))), target)


def test_across_accounts_both_sides_have_to_allow_it() -> None:
    grant = document(allow(Principal={"AWS": ROLE}))
    granted, closed = Target(OBJECT, "222222222222", policy=grant), Target(OBJECT, "222222222222")
    assert may(Principal(ROLE, policies=document(allow())), granted)
    assert not may(Principal(ROLE, policies=document(allow())), closed)
    assert not may(Principal(ROLE), granted)


def test_a_resources_policy_alone_is_enough_for_a_role_that_it_names_and_not_for_its_whole_account() -> None:
    account = document(allow(Principal={"AWS": "arn:aws:iam::111111111111:root"}))
    role = document(allow(Principal={"AWS": ROLE}))
    assert may(Principal(ROLE), Target(OBJECT, "111111111111", policy=role))
    assert not may(Principal(ROLE), Target(OBJECT, "111111111111", policy=account))


def test_a_key_has_to_leave_it_to_the_account_before_the_roles_policies_count() -> None:
    key = "arn:aws:kms:eu-central-1:111111111111:key/one"
    role = Principal(ROLE, policies=document(allow("kms:Decrypt", key)))
    left = document(allow("kms:Decrypt", "*", Principal={"AWS": "arn:aws:iam::111111111111:root"}))
    assert may(role, Target(key, "111111111111", policy=left), "kms:Decrypt")
    assert not may(role, Target(key, "111111111111"), "kms:Decrypt")


def test_the_roles_own_tag_decides_which_prefix_it_reaches() -> None:
    policies = document(allow(resource="arn:aws:s3:::data/${aws:PrincipalTag/model}/*"))
    target = Target(OBJECT, "111111111111")
    assert may(Principal(ROLE, {"model": "orders"}, policies), target)
    assert not may(Principal(ROLE, {"model": "cakes"}, policies), target)
    assert not may(Principal(ROLE, {}, policies), target)
    assert not may(Principal(ROLE, {"model": "*"}, policies), target), "a wildcard in a tag is no wildcard"


def test_the_resources_tag_has_to_be_the_roles() -> None:
    condition = {"StringEquals": {"aws:ResourceTag/model": "${aws:PrincipalTag/model}"}}
    policies = document(allow("ecr:PutImage", "*", Condition=condition))
    repository = "arn:aws:ecr:eu-central-1:111111111111:repository/bakehouse/orders"
    own = Target(repository, "111111111111", {"model": "orders"})
    assert may(Principal(ROLE, {"model": "orders"}, policies), own, "ecr:PutImage")
    assert not may(Principal(ROLE, {"model": "cakes"}, policies), own, "ecr:PutImage")
    assert not may(Principal(ROLE, {"model": "orders"}, policies), Target(repository, "111111111111"), "ecr:PutImage")


@pytest.mark.parametrize(
    ("condition", "context", "holds"),
    [
        ({"StringEquals": {"aws:Region": "a"}}, {"aws:region": "a"}, True),
        ({"StringEquals": {"aws:Region": ["a", "b"]}}, {"aws:region": "b"}, True),
        ({"StringEquals": {"aws:Region": "a"}}, {}, False),
        ({"StringEqualsIfExists": {"aws:Region": "a"}}, {}, True),
        ({"StringNotEquals": {"aws:Region": "a"}}, {}, True),
        ({"StringNotEquals": {"aws:Region": "a"}}, {"aws:region": "a"}, False),
        ({"StringLike": {"s3:prefix": "orders/*"}}, {"s3:prefix": "orders/1"}, True),
        ({"StringLike": {"s3:prefix": "orders/*"}}, {"s3:prefix": "cakes/1"}, False),
        ({"StringEquals": {"s3:prefix": "orders/*"}}, {"s3:prefix": "orders/1"}, False),
        ({"Bool": {"aws:SecureTransport": "true"}}, {}, True),
        ({"Bool": {"aws:SecureTransport": False}}, {}, False),
        ({"NumericLessThan": {"aws:MultiFactorAuthAge": "3600"}}, {"aws:MultiFactorAuthAge": "60"}, True),
        ({"NumericLessThan": {"aws:MultiFactorAuthAge": "3600"}}, {"aws:MultiFactorAuthAge": "3600"}, False),
        ({"Null": {"aws:MultiFactorAuthAge": "true"}}, {}, True),
        ({"Null": {"aws:MultiFactorAuthAge": "false"}}, {}, False),
        ({"ForAllValues:StringEquals": {"aws:TagKeys": "a"}}, {"aws:TagKeys": "a"}, False),
        ({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, {"aws:SourceIp": "10.0.0.1"}, False),
    ],
)
def test_a_condition_holds_when_aws_says_so_and_never_when_it_is_not_understood(
    condition: dict[str, Any], context: dict[str, str], holds: bool
) -> None:
    policies = document(allow(Condition=condition))
    assert may(Principal(ROLE, policies=policies), Target(OBJECT, "111111111111"), **context) is holds


def test_a_denial_whose_condition_is_not_understood_denies() -> None:
    denial = {
        "Effect": "Deny",
        "Action": "*",
        "Resource": "*",
        "Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}},
    }
    assert not may(Principal(ROLE, policies=document(allow(), denial)), Target(OBJECT, "111111111111"))


def test_everything_but_some_actions_is_everything_but_those() -> None:
    policies = document({"Effect": "Allow", "NotAction": "s3:Put*", "Resource": "*"})
    target = Target(OBJECT, "111111111111")
    assert may(Principal(ROLE, policies=policies), target)
    assert not may(Principal(ROLE, policies=policies), target, "s3:PutObject")


def test_a_role_is_taken_by_the_subject_that_its_trust_names_alone() -> None:
    provider = "arn:aws:iam::111111111111:oidc-provider/issuer"
    trust = document(
        {
            "Effect": "Allow",
            "Principal": {"Federated": provider},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {"StringEquals": {"issuer:sub": "orders"}},
        }
    )
    action = "sts:AssumeRoleWithWebIdentity"
    assert assumable(trust, "Federated", provider, action, {"issuer:sub": "orders"}).allowed
    assert not assumable(trust, "Federated", provider, action, {"issuer:sub": "cakes"}).allowed
    assert not assumable(trust, "Federated", provider, action, {}).allowed
    assert not assumable(trust, "AWS", ROLE, action, {"issuer:sub": "orders"}).allowed


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("not json", "not JSON"),
        ("[]", "no Statement"),
        ('{"Statement": ["Allow"]}', "not an object"),
        ('{"Statement": [{"Effect": "Maybe"}]}', "neither Allow nor Deny"),
        ('{"Statement": [{"Effect": "Allow", "Actions": "*"}]}', "unknown element Actions"),
        ('{"Statement": [{"Effect": "Allow", "Principal": "somebody"}]}', "Principal"),
    ],
)
def test_a_document_that_is_not_understood_is_not_judged(text: str, reason: str) -> None:
    with pytest.raises(DocumentError, match=reason):
        parse(text)
