"""Where policy documents stand: in which resource, and which of them a role has. Judges nothing but whether one can be
read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from terraform.policies.documents import DocumentError, Statement, parse
from terraform.policies.estate import UNKNOWN, Estate, Resource
from terraform.policies.rules import Judgement, broken, unknown

# Where a resource carries a policy document that somebody wrote.
IDENTITY = {
    "aws_iam_policy": "policy",
    "aws_iam_role_policy": "policy",
    "aws_iam_user_policy": "policy",
    "aws_iam_group_policy": "policy",
}
TRUST = {"aws_iam_role": "assume_role_policy"}
RESOURCE = {
    "aws_ecr_registry_policy": "policy",
    "aws_ecr_repository_policy": "policy",
    "aws_kms_key": "policy",
    "aws_kms_key_policy": "policy",
    "aws_s3_bucket_policy": "policy",
    "aws_secretsmanager_secret_policy": "policy",
    "aws_sns_topic_policy": "policy",
    "aws_sqs_queue_policy": "policy",
}


@dataclass(frozen=True)
class Document:
    """A policy document where it stands: its resource, its kind, its statements; `problem` where it can't be read."""

    resource: Resource
    kind: str
    statements: tuple[Statement, ...] = ()
    problem: Judgement | None = None


def documents(estate: Estate, kinds: dict[str, str]) -> Iterator[Document]:
    """Every authored document of the kinds given, inline policies of roles included."""
    for resource in estate.of_type(*kinds):
        yield _read(resource, kinds[resource.type], resource.value(kinds[resource.type]))
    if kinds is IDENTITY or "aws_iam_policy" in kinds:
        for role in estate.of_type("aws_iam_role"):
            for block in _inline(role):
                yield _read(role, "inline_policy", UNKNOWN if block is UNKNOWN else block.get("policy"))


def documents_of(estate: Estate, role: Resource) -> Iterator[Document]:
    """Every document that a role has, in itself or attached; one that can't be read for what can't be told."""
    for block in _inline(role):
        yield _read(role, "inline_policy", UNKNOWN if block is UNKNOWN else block.get("policy"))
    for inline in estate.companions(role, "aws_iam_role_policy", "role", "name", "id"):
        yield _read(inline, "policy", inline.value("policy"))
    by_arn = {policy.value("arn"): policy for policy in estate.of_type("aws_iam_policy")}
    by_arn.pop(UNKNOWN, None)
    for subject, arn in attached(estate, role):
        if arn is UNKNOWN or arn not in by_arn:
            problem = unknown(role.subject, f"what {subject} attaches can't be read")
            yield Document(role, "policy", problem=problem)
        else:
            yield _read(by_arn[arn], "policy", by_arn[arn].value("policy"))


def attached(estate: Estate, role: Resource) -> Iterator[tuple[str, Any]]:
    """What is attached to a role: by which resource, and the policy's ARN or `UNKNOWN`. An attachment to a role that is
    not known yet may be to this one."""
    names = {role.value("name"), role.value("id")} - {None, UNKNOWN}
    managed = role.value("managed_policy_arns")
    # Terraform shows those of a new role as unknown where none is written.
    for arn in managed if isinstance(managed, list) else ():
        yield role.subject, arn
    for single in estate.of_type("aws_iam_role_policy_attachment"):
        if single.value("role") is UNKNOWN or single.value("role") in names:
            yield single.subject, single.value("policy_arn") if single.value("role") is not UNKNOWN else UNKNOWN
    for several in estate.of_type("aws_iam_policy_attachment"):
        roles = several.value("roles")
        if roles is UNKNOWN or UNKNOWN in (roles or ()):
            yield several.subject, UNKNOWN
        elif names & set(roles or ()):
            yield several.subject, several.value("policy_arn")


def _read(resource: Resource, kind: str, text: Any) -> Document:
    if text is UNKNOWN:
        return Document(resource, kind, problem=unknown(resource.subject, f"its {kind} is known only after apply"))
    if text is None:
        return Document(resource, kind, problem=broken(resource.subject, f"it has no {kind} of its own"))
    try:
        return Document(resource, kind, parse(str(text)))
    except DocumentError as error:
        return Document(resource, kind, problem=broken(resource.subject, f"its {kind} can't be read: {error}"))


def _inline(role: Resource) -> list[Any]:
    """A role's inline policies. Terraform shows those of a new role as unknown where none is written; they are then
    resources of their own, which are read as such."""
    blocks = role.value("inline_policy")
    if blocks is UNKNOWN:
        return []
    return [block for block in blocks or [] if block is UNKNOWN or block.get("policy")]
