"""Whether a request is allowed: the evaluation that AWS documents, over policy documents, without AWS.

Follows "Policy evaluation logic" of the IAM user guide within one organisation without service control policies:
an explicit deny anywhere wins; otherwise, within one account, the identity's policies (and its boundary, where it has
one) or the resource's policy has to allow; across accounts both sides have to. A resource's policy that names the
account's root leaves it to the identity's policies, and a KMS key's has to do that before they count. Condition
operators that are not known here make an Allow not match and a Deny match, so that what can't be evaluated never gives
access.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from terraform.policies.documents import Conditions, Statement

Statements = tuple[Statement, ...]

_NEGATIONS = frozenset({"ArnNotEquals", "ArnNotLike", "StringNotEquals", "StringNotLike"})
_OPERATORS = frozenset(
    {"ArnEquals", "ArnLike", "Bool", "NumericGreaterThan", "NumericLessThan", "StringEquals", "StringLike", *_NEGATIONS}
)


@dataclass(frozen=True)
class Principal:
    """A role: its ARN, its tags, its policies, and its boundary where it has one."""

    arn: str
    tags: Mapping[str, str] = field(default_factory=dict)
    policies: Statements = ()
    boundary: Statements | None = None

    @property
    def account(self) -> str:
        return account_of(self.arn)


@dataclass(frozen=True)
class Target:
    """What is asked for: its ARN, the account that owns it (an S3 ARN doesn't say), its tags, its own policy."""

    arn: str
    account: str
    tags: Mapping[str, str] = field(default_factory=dict)
    policy: Statements = ()


@dataclass(frozen=True)
class Answer:
    """Whether it is allowed, and which statement or which lack decided."""

    allowed: bool
    because: str


def allowed(principal: Principal, action: str, target: Target, context: Mapping[str, str] | None = None) -> Answer:
    """Evaluate one request of a role over TLS. `context` adds or overrides condition keys."""
    keys = _context(principal, target, context or {})
    own, bound = principal.policies, principal.boundary
    itself = tuple(item for item in target.policy if _names(item, "AWS", principal.arn))
    account = tuple(item for item in target.policy if _names(item, "AWS", f"arn:aws:iam::{principal.account}:root"))

    def first(effect: str, statements: Statements) -> Statement | None:
        return _first(effect, statements, action, target.arn, keys, unknown_matches=effect == "Deny")

    for where, statements in (("identity", own), ("boundary", bound or ()), ("resource", (*itself, *account))):
        denial = first("Deny", statements)
        if denial:
            return Answer(False, f"{where} policy denies: {_sid(denial)}")
    granted, direct, delegated = first("Allow", own), first("Allow", itself), first("Allow", (*itself, *account))
    if granted and bound is not None and not first("Allow", bound):
        return Answer(False, "the permission boundary does not let it through")
    if principal.account != target.account:
        both = granted and delegated
        return Answer(bool(both), "both accounts allow it" if both else "across accounts both sides have to allow it")
    if granted and target.arn.split(":")[2:3] == ["kms"] and not delegated:
        return Answer(False, "the key's policy does not leave it to the account's policies")
    by = granted or direct
    return Answer(bool(by), f"allowed by {_sid(by)}" if by else "no policy allows it")


def assumable(trust: Statements, kind: str, identifier: str, action: str, context: Mapping[str, str]) -> Answer:
    """Whether a trust policy lets a principal (kind `AWS`, `Federated` or `Service`) take its role."""
    keys = {key.lower(): value for key, value in context.items()}
    naming = tuple(item for item in trust if _names(item, kind, identifier))
    denial = _first("Deny", naming, action, None, keys, unknown_matches=True)
    if denial:
        return Answer(False, f"trust policy denies: {denial.sid}")
    granted = _first("Allow", naming, action, None, keys, unknown_matches=False)
    return Answer(bool(granted), "the trust policy allows it" if granted else "the trust policy does not allow it")


def account_of(arn: str) -> str:
    """The account in an ARN, empty where it has none."""
    parts = arn.split(":")
    return parts[4] if len(parts) > 4 else ""


def _context(principal: Principal, target: Target, more: Mapping[str, str]) -> dict[str, str]:
    keys = {
        "aws:principalarn": principal.arn,
        "aws:principalaccount": principal.account,
        "aws:resourceaccount": target.account,
        "aws:securetransport": "true",
        "s3:tlsversion": "1.3",
        **({"aws:requestedregion": region} if (region := [*target.arn.split(":"), "", "", "", ""][3]) else {}),
        **{f"aws:principaltag/{name.lower()}": value for name, value in principal.tags.items()},
        **{f"aws:resourcetag/{name.lower()}": value for name, value in target.tags.items()},
    }
    return {**keys, **{key.lower(): value for key, value in more.items()}}


def _sid(statement: Statement) -> str:
    return statement.sid or "a statement without a Sid"


def _names(statement: Statement, kind: str, identifier: str) -> bool:
    if statement.not_principals:
        return (kind, identifier) not in statement.not_principals
    account = account_of(identifier)
    return any(
        (
            of == "*"
            or ((of == kind and name in {"*", identifier}) or (kind == "AWS" and of == "AWS" and name == account))
        )
        for of, name in statement.principals
    )


def _first(
    effect: str,
    statements: Iterable[Statement],
    action: str,
    resource: str | None,
    keys: Mapping[str, str],
    *,
    unknown_matches: bool,
) -> Statement | None:
    for statement in statements:
        if (
            statement.effect == effect
            and _covers_action(statement, action)
            and (resource is None or _covers_resource(statement, resource, keys))
            and _conditions_hold(statement.conditions, keys, unknown_matches=unknown_matches)
        ):
            return statement
    return None


def _covers_action(statement: Statement, action: str) -> bool:
    if statement.not_actions:
        return not any(_like(pattern.lower(), action.lower()) for pattern in statement.not_actions)
    return any(_like(pattern.lower(), action.lower()) for pattern in statement.actions)


def _covers_resource(statement: Statement, resource: str, keys: Mapping[str, str]) -> bool:
    if statement.not_resources:
        return not any(_like_with_variables(pattern, resource, keys) for pattern in statement.not_resources)
    return any(_like_with_variables(pattern, resource, keys) for pattern in statement.resources)


def _like_with_variables(pattern: str, value: str, keys: Mapping[str, str]) -> bool:
    filled = _fill(pattern, keys)
    return filled is not None and _like(filled, value)


def _fill(pattern: str, keys: Mapping[str, str]) -> str | None:
    """The pattern with its policy variables filled in; None where one has no value, so that it matches nothing. A
    filled-in value is taken letter by letter, as in IAM: its own `*` is no wildcard."""
    missing = False

    def fill(match: re.Match[str]) -> str:
        nonlocal missing
        value = keys.get(match.group(1).lower())
        missing = missing or value is None
        return re.sub(r"([*?\[])", r"[\1]", value or "")

    escaped = re.sub(r"\[", "[[]", re.sub(r"\$\{([^}]+)\}", lambda match: f"\0{match.group(1)}\0", pattern))
    filled = re.sub("\0([^\0]+)\0", fill, escaped)
    return None if missing else filled


def _like(pattern: str, value: str) -> bool:
    return fnmatch.fnmatchcase(value, pattern)


def _conditions_hold(conditions: Conditions, keys: Mapping[str, str], *, unknown_matches: bool) -> bool:
    for operator, key, values in conditions:
        outcome = _condition_holds(operator, keys.get(key.lower()), values, keys)
        if outcome is None:
            if not unknown_matches:
                return False
        elif not outcome:
            return False
    return True


def _condition_holds(
    operator: str, actual: str | None, values: tuple[str, ...], keys: Mapping[str, str]
) -> bool | None:
    """True, False, or None where the operator is not known here."""
    name = operator.removesuffix("IfExists")
    if name == "Null":
        return (actual is None) == (values[0] == "true")
    if name not in _OPERATORS:
        return None
    if actual is None:
        return name != operator or name in _NEGATIONS
    filled = [found for value in values if (found := _fill(value, keys)) is not None]
    exact = [re.sub(r"\[([*?\[])\]", r"\1", value) for value in filled]
    match name:
        case "StringEquals":
            return actual in exact
        case "StringNotEquals":
            return actual not in exact
        case "StringLike" | "ArnLike" | "ArnEquals":
            return any(_like(value, actual) for value in filled)
        case "StringNotLike" | "ArnNotLike" | "ArnNotEquals":
            return not any(_like(value, actual) for value in filled)
        case "Bool":
            return actual.lower() in {value.lower() for value in exact}
        case "NumericLessThan":
            return any(float(actual) < float(value) for value in exact)
        case "NumericGreaterThan":
            return any(float(actual) > float(value) for value in exact)
        case _:
            return None
