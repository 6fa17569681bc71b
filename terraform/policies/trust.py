"""Who may take a role: whether a trust policy's statement ends at one service, one person or one token's subject."""

from __future__ import annotations

import re
from collections.abc import Callable

from terraform.policies.documents import Statement

# A workflow on a pull request names its number in the subject; nothing else there may vary.
_PULL_REQUEST = re.compile(r"repo:[\w.-]+/[\w.-]+:environment:[a-z0-9-]+:ref:refs/pull/\*/merge")


# What tells one session of a person from another, or says that it is a person at all.
_OF_A_SESSION = (
    "aws:MultiFactorAuthAge",
    "aws:MultiFactorAuthPresent",
    "sts:ExternalId",
    "sts:RoleSessionName",
    "sts:SourceIdentity",
)


def trust_fault(statement: Statement, *, only_reads: bool = False) -> str | None:
    """What is wrong with one statement of a trust policy, or None where it binds the role to one subject. A role that
    `only_reads` may be taken by whatever pull request there is."""
    if not statement.allows:
        return None
    if statement.not_principals or not statement.principals:
        return "everybody but some may take it"
    for kind, name in statement.principals:
        find = _FAULTS.get(kind)
        fault = find(statement, name) if find else "everybody may take it"
        if fault:
            return fault
    if not only_reads and any(
        _PULL_REQUEST.fullmatch(value) for _, _, values in statement.conditions for value in values
    ):
        return "any pull request may take it, and it is no role that only plans"
    return None


def _service_fault(_statement: Statement, name: str) -> str | None:
    return None if re.fullmatch(r"[a-z0-9.-]+\.amazonaws\.com", name) else f"{name} is not one service"


def _person_fault(statement: Statement, name: str) -> str | None:
    if not re.fullmatch(r"arn:aws:iam::[0-9]{12}:(role|user)/[\w+=,.@/-]+", name):
        return f"{name} is not one role or user"
    if not any(
        statement.condition_values(key, "Bool", "NumericLessThan", "StringEquals", "StringLike")
        for key in _OF_A_SESSION
    ):
        return f"{name} may take it without a condition on who asks: one of {', '.join(_OF_A_SESSION)}"
    return None


def _token_fault(statement: Statement, name: str) -> str | None:
    if not re.fullmatch(r"arn:aws:iam::[0-9]{12}:oidc-provider/[\w./-]+", name):
        return f"{name} is not one OIDC provider"
    issuer = name.partition(":oidc-provider/")[2]
    if not statement.condition_values(f"{issuer}:aud", "StringEquals"):
        return f"tokens of {issuer} meant for somebody else would do: there is no condition on {issuer}:aud"
    exact = statement.condition_values(f"{issuer}:sub", "StringEquals")
    patterns = statement.condition_values(f"{issuer}:sub", "StringLike")
    if not exact and not patterns:
        return f"every token of {issuer} would do: there is no condition on {issuer}:sub"
    loose = [item for item in patterns if ("*" in item or "?" in item) and not _PULL_REQUEST.fullmatch(item)]
    loose += [item for item in exact if not item]
    return f"the subject {loose[0]!r} is not bound to one" if loose else None


_FAULTS: dict[str, Callable[[Statement, str], str | None]] = {
    "Service": _service_fault,
    "AWS": _person_fault,
    "Federated": _token_fault,
}
