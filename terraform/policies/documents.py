"""IAM policy documents: read from JSON into statements, in one shape whatever way they were written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Conditions = tuple[tuple[str, str, tuple[str, ...]], ...]


@dataclass(frozen=True)
class Statement:
    """One statement. `actions` and `resources` hold what the document allows or denies; where `not_actions`,
    `not_resources` or `not_principals` is not empty, it is everything but those. `principals` are pairs of kind and
    identifier; `*` alone is the pair `("*", "*")`. `conditions` are triples of operator, key and values."""

    effect: str
    sid: str
    actions: tuple[str, ...]
    not_actions: tuple[str, ...]
    resources: tuple[str, ...]
    not_resources: tuple[str, ...]
    principals: tuple[tuple[str, str], ...]
    not_principals: tuple[tuple[str, str], ...]
    conditions: Conditions

    @property
    def allows(self) -> bool:
        return self.effect == "Allow"

    def condition_values(self, key: str, *operators: str) -> tuple[str, ...]:
        """The values that a condition key is compared with by any of the operators; keys ignore case, as in IAM."""
        return tuple(
            value
            for operator, name, values in self.conditions
            if name.lower() == key.lower() and operator in operators
            for value in values
        )


class DocumentError(ValueError):
    """What should be a policy document is not one."""


def parse(text: str) -> tuple[Statement, ...]:
    """The statements of a policy document. Raises `DocumentError` for anything else, an unknown element included:
    what we don't understand we don't judge."""
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise DocumentError(f"it is not JSON: {error}") from error
    if not isinstance(document, Mapping) or "Statement" not in document:
        raise DocumentError("it has no Statement")
    statements = document["Statement"]
    return tuple(_statement(item) for item in (statements if isinstance(statements, list) else [statements]))


_ELEMENTS = {
    "Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Principal", "NotPrincipal", "Condition",
}  # fmt: skip


def _statement(item: Any) -> Statement:
    if not isinstance(item, Mapping):
        raise DocumentError("a statement is not an object")
    surplus = set(item) - _ELEMENTS
    if surplus:
        raise DocumentError(f"a statement has the unknown element {sorted(surplus)[0]}")
    if item.get("Effect") not in {"Allow", "Deny"}:
        raise DocumentError("a statement's Effect is neither Allow nor Deny")
    return Statement(
        effect=item["Effect"],
        sid=str(item.get("Sid", "")),
        actions=_strings(item.get("Action", ())),
        not_actions=_strings(item.get("NotAction", ())),
        resources=_strings(item.get("Resource", ())),
        not_resources=_strings(item.get("NotResource", ())),
        principals=_principals(item.get("Principal", {})),
        not_principals=_principals(item.get("NotPrincipal", {})),
        conditions=tuple(
            (operator, key, _strings(values))
            for operator, keys in item.get("Condition", {}).items()
            for key, values in keys.items()
        ),
    )


def _principals(value: Any) -> tuple[tuple[str, str], ...]:
    if value == "*":
        return (("*", "*"),)
    if not isinstance(value, Mapping):
        raise DocumentError("a Principal is neither * nor an object")
    return tuple((kind, name) for kind, names in value.items() for name in _strings(names))


def _strings(value: Any) -> tuple[str, ...]:
    items = value if isinstance(value, list | tuple) else [value]
    return tuple(str(item).lower() if isinstance(item, bool) else str(item) for item in items)
