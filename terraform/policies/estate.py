"""The resources of an environment as Terraform plans or records them, read from `terraform show -json`.

Holds what they are and how they belong together. Judges nothing. A value that is only known after apply is `UNKNOWN`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, final


@final
class Unknown:
    """A value that Terraform knows only after apply. There is one, `UNKNOWN`."""

    def __repr__(self) -> str:
        return "UNKNOWN"

    def __bool__(self) -> bool:
        raise TypeError("an unknown value is neither true nor false: ask `is UNKNOWN` first")


UNKNOWN: Final = Unknown()


@dataclass(frozen=True)
class Context:
    """Which environment it is: what the variable `context` of every root says."""

    project: str
    environment: str
    account_id: str
    region: str


@dataclass(frozen=True)
class Resource:
    """One managed resource. `references` are the addresses, within its module, that each attribute is made from."""

    root: str
    address: str
    type: str
    values: Mapping[str, Any]
    references: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @property
    def subject(self) -> str:
        """How judgements name it."""
        return f"{self.root}:{self.address}"

    @property
    def module(self) -> str:
        """Address of the module instance it stands in; empty for the root."""
        return self.address.removesuffix(self.name).removesuffix(".")

    @property
    def name(self) -> str:
        """Its own part of the address, with its index."""
        match = re.search(rf"{re.escape(self.type)}\.[^.\[]+(\[.*\])?$", self.address)
        if match is None:
            raise ValueError(f"{self.address} is not the address of a {self.type}")
        return match.group(0)

    def value(self, *path: str | int) -> Any:
        """The value at a path of keys and indices: `UNKNOWN` where any step is, None where a step is absent."""
        found: Any = self.values
        for step in path:
            if found is UNKNOWN:
                return UNKNOWN
            if isinstance(found, Mapping) and isinstance(step, str):
                found = found.get(step)
            elif isinstance(found, list) and isinstance(step, int):
                found = found[step] if step < len(found) else None
            else:
                return None
        return found

    def blocks(self, name: str) -> list[Any]:
        """The blocks of a name, each a mapping or `UNKNOWN`; an unknown set of blocks is one unknown block."""
        found = self.value(name)
        if found is UNKNOWN:
            return [UNKNOWN]
        if isinstance(found, Mapping):
            return [found]
        return list(found or [])


@dataclass(frozen=True)
class Estate:
    """All resources of an environment, over all roots."""

    context: Context
    resources: tuple[Resource, ...]

    def of_type(self, *types: str) -> Iterator[Resource]:
        """The resources of the types given, in order."""
        return (resource for resource in self.resources if resource.type in types)

    def companions(self, owner: Resource, kind: str, attribute: str, *identifiers: str) -> list[Resource]:
        """The resources of a type that belong to `owner`: their attribute equals one of its identifiers, or, where that
        is not known yet, is made from nothing but the owner in the same module."""
        names = {owner.value(identifier) for identifier in identifiers} - {None, UNKNOWN}
        found = []
        for candidate in self.of_type(kind):
            named = candidate.value(attribute)
            if named is UNKNOWN:
                made_from = candidate.references.get(attribute, frozenset())
                if (
                    candidate.root == owner.root
                    and candidate.module == owner.module
                    and made_from == {_bare(owner.name)}
                ):
                    found.append(candidate)
            elif named in names:
                found.append(candidate)
        return found

    def within(self, module: str) -> Estate:
        """The part of the estate that stands in one module and what is in it."""
        return Estate(self.context, tuple(found for found in self.resources if found.address.startswith(f"{module}.")))


def read_plans(plans: Mapping[str, Mapping[str, Any]], context: Context | None = None) -> Estate:
    """The estate that the plans of all roots would make, by root."""
    found: list[Resource] = []
    for root, plan in plans.items():
        references = dict(_references(plan.get("configuration", {}).get("root_module", {}), ""))
        for change in plan.get("resource_changes", ()):
            if change["mode"] != "managed" or change["change"]["after"] is None:
                continue
            values = _merge(change["change"]["after"], change["change"].get("after_unknown", False))
            found.append(
                Resource(root, change["address"], change["type"], values, references.get(_bare(change["address"]), {}))
            )
    return Estate(context or _context(plans.values()), tuple(found))


def read_states(states: Mapping[str, Mapping[str, Any]], context: Context) -> Estate:
    """The estate that the states of all roots record, by root."""
    found = [
        Resource(root, resource["address"], resource["type"], resource["values"])
        for root, state in states.items()
        for resource in _recorded(state.get("values", {}).get("root_module", {}))
        if resource["mode"] == "managed"
    ]
    return Estate(context, tuple(found))


def _recorded(module: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from module.get("resources", ())
    for child in module.get("child_modules", ()):
        yield from _recorded(child)


def _context(plans: Iterable[Mapping[str, Any]]) -> Context:
    said = {
        Context(value["project"], value["environment"], value["account_id"], value["region"])
        for plan in plans
        if (value := plan.get("variables", {}).get("context", {}).get("value"))
    }
    if len(said) != 1:
        raise ValueError(f"the plans must be of one environment; they name {len(said)}")
    return said.pop()


def _merge(after: Any, unknown: Any) -> Any:
    if unknown is True:
        return UNKNOWN
    if isinstance(unknown, Mapping) and isinstance(after, Mapping | None):
        after = after or {}
        return {key: _merge(after.get(key), unknown.get(key, False)) for key in {**after, **unknown}}
    if isinstance(unknown, list) and isinstance(after, list):
        return [_merge(item, unknown[index] if index < len(unknown) else False) for index, item in enumerate(after)]
    return after


def _references(module: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, dict[str, frozenset[str]]]]:
    for resource in module.get("resources", ()):
        made_from = {
            name: frozenset(_named(expression)) for name, expression in resource.get("expressions", {}).items()
        }
        yield f"{prefix}{resource['address']}", made_from
    for name, call in module.get("module_calls", {}).items():
        yield from _references(call.get("module", {}), f"{prefix}module.{name}.")


def _named(expression: Any) -> Iterator[str]:
    """The resources that an expression names, as `type.name`. Terraform lists `a.b.id` and `a.b` both."""
    if isinstance(expression, Mapping):
        for reference in expression.get("references", ()):
            parts = _bare(reference).split(".")
            yield ".".join(parts[:2])
        for key, value in expression.items():
            if key != "references":
                yield from _named(value)
    elif isinstance(expression, list):
        for item in expression:
            yield from _named(item)


def _bare(address: str) -> str:
    return re.sub(r"\[[^\]]*\]", "", address)
