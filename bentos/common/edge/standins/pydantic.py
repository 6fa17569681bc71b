"""Stands in for pydantic: the strict validation of JSON documents by types, on the standard library alone.

Holds what contracts use: strict models, constraints, literals, lists, optional values, moments and days, validators. A
type that it does not know is an error when the contract is loaded, so that no rule is ever left out in silence. The
words of refusals are pydantic's.
"""

from __future__ import annotations

import copy
import inspect
import json
import math
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar

from bentos.common.edge.standins.constraints import (
    PLAIN,
    AwareDatetime,
    Check,
    Location,
    ValidationError,
    fault,
    refuse,
    rule,
)

__all__ = [
    "AfterValidator",
    "AwareDatetime",
    "BaseModel",
    "ConfigDict",
    "Field",
    "TypeAdapter",
    "ValidationError",
    "ValidationInfo",
    "model_validator",
]

T = TypeVar("T")
_MISSING: Any = object()
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class ValidationInfo:
    """What a validator is told beside the value."""

    context: None = None


@dataclass(frozen=True)
class AfterValidator:
    """Called with a value that is valid so far, gives the value."""

    func: Callable[..., Any]


@dataclass(frozen=True, eq=False)
class FieldInfo:
    """The constraints of a field."""

    rules: Mapping[str, Any]
    default: Any = _MISSING


def Field(default: Any = _MISSING, **rules: Any) -> Any:  # noqa: N802  # pydantic's name
    """Constraints, for `Annotated`, or as a class attribute."""
    rules.pop("description", None)
    return FieldInfo(rules, default)


def ConfigDict(**settings: Any) -> dict[str, Any]:  # noqa: N802  # pydantic's name
    """The settings of a model."""
    return settings


def model_validator(*, mode: Literal["before", "after"]) -> Callable[[T], T]:
    """Mark a method as what judges a document before its fields, or a model after them."""

    def marked(method: Any) -> Any:
        getattr(method, "__func__", method).validates = mode
        return method

    return marked


class _Serializer:
    def to_json(self, value: Any) -> bytes:
        return json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":")).encode()


class BaseModel:
    """A document of named fields."""

    model_config: ClassVar[dict[str, Any]] = {}
    __pydantic_serializer__: ClassVar[_Serializer] = _Serializer()

    def __init_subclass__(cls, **_options: Any) -> None:
        cls.model_config = {**cls.model_config, **cls.__dict__.get("model_config", {})}
        names = [name for base in reversed(cls.__mro__) for name in inspect.get_annotations(base)]
        ours = [name for name in names if not name.startswith("_") and name not in inspect.get_annotations(BaseModel)]
        cls.model_fields = dict.fromkeys(ours)

    model_fields: ClassVar[dict[str, None]] = {}

    @classmethod
    def model_construct(cls, **values: Any) -> Any:
        """A model of values that nobody checks."""
        made = cls()
        for name in cls.model_fields:
            if name in values:
                setattr(made, name, values[name])
            elif (default := _default(getattr(cls, name, _MISSING))) is not _MISSING:
                setattr(made, name, copy.copy(default))
        return made


class TypeAdapter(Generic[T]):
    """Validates and writes values of one type. Raises `TypeError` for a type that is not known here."""

    def __init__(self, type_: Any) -> None:
        self._check = _check(type_)

    def validate_json(self, body: bytes) -> T:
        """The value that the JSON means. Raises `ValidationError`."""
        value: T = self._check(_parsed(body), ())
        return value

    def dump_json(self, value: T) -> bytes:
        """The value as JSON."""
        return _Serializer().to_json(value)


def _parsed(body: bytes) -> Any:
    try:
        text = body.decode("utf-8")
        value = json.loads(text)
        if "\\u" in text and _SURROGATE.search(json.dumps(value, ensure_ascii=False)):
            raise ValueError("lone leading surrogate in hex escape")
    except (ValueError, RecursionError) as error:
        raise ValidationError([fault("json_invalid", (), "Invalid JSON", error=str(error))]) from None
    return value


def _check(wanted: Any) -> Check:
    origin, inner = typing.get_origin(wanted), typing.get_args(wanted)
    if origin is Annotated:
        return _annotated(inner[0], inner[1:])
    if origin is Literal:
        return _literal(inner)
    if origin is list:
        return _list(_check(inner[0]))
    if origin in (typing.Union, types.UnionType) and len(inner) == 2 and types.NoneType in inner:
        some = _check(next(it for it in inner if it is not types.NoneType))
        return lambda value, location: None if value is None else some(value, location)
    if isinstance(wanted, type) and issubclass(wanted, BaseModel):
        return _model(wanted)
    if wanted in PLAIN:
        return PLAIN[wanted]
    raise TypeError(f"{wanted} can't be validated at the edge")


def _all(checks: Iterable[tuple[Check, Any, Location]]) -> tuple[list[Any], list[dict[str, Any]]]:
    """What each check gives, and the faults of all."""
    values, faults = [], []
    for check, value, location in checks:
        try:
            values.append(check(value, location))
        except ValidationError as error:
            faults += error.errors()
    return values, faults


def _list(each: Check) -> Check:
    def check(value: Any, location: Location) -> list[Any]:
        if not isinstance(value, list):
            raise refuse("list_type", location, "Input should be a valid array")
        values, faults = _all((each, item, (*location, place)) for place, item in enumerate(value))
        if faults:
            raise ValidationError(faults)
        return values

    return check


def _literal(allowed: tuple[Any, ...]) -> Check:
    words = [repr(word) for word in allowed]
    expected = " or ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]

    def check(value: Any, location: Location) -> Any:
        # As for pydantic, true is 1 and 1.0 is too: what the document means is the word that it equals.
        for word in allowed:
            if not isinstance(value, list | dict) and value == word:
                return word
        raise refuse("literal_error", location, f"Input should be {expected}", expected=expected)

    return check


def _model(model: type[BaseModel]) -> Check:
    hints = typing.get_type_hints(model, include_extras=True)
    fields = {name: (_check(hints[name]), _default(getattr(model, name, _MISSING))) for name in model.model_fields}
    methods = {name: found for base in reversed(model.__mro__) for name, found in vars(base).items()}
    by_mode: dict[str, list[str]] = {"before": [], "after": []}
    for name, found in methods.items():
        if mode := getattr(getattr(found, "__func__", found), "validates", None):
            by_mode[mode].append(name)
    closed = model.model_config.get("extra") == "forbid"

    def check(value: Any, location: Location) -> Any:
        for name in by_mode["before"]:
            value = _judged(getattr(model, name), value, location)
        if not isinstance(value, dict):
            raise refuse("model_type", location, "Input should be an object")
        faults, given = [], {}
        for name, (field, default) in fields.items():
            if name not in value:
                if default is _MISSING:
                    faults.append(fault("missing", (*location, name), "Field required"))
                given[name] = copy.copy(default)
                continue
            values, wrong = _all([(field, value[name], (*location, name))])
            faults += wrong
            given[name] = values[0] if values else None
        if closed:
            unknown = [(*location, name) for name in value if name not in fields]
            faults += [fault("extra_forbidden", where, "Extra inputs are not permitted") for where in unknown]
        if faults:
            raise ValidationError(faults)
        made = model()
        vars(made).update(given)
        for name in by_mode["after"]:
            made = _judged(getattr(type(made), name), made, location)
        return made

    return check


def _default(stated: Any) -> Any:
    return stated.default if isinstance(stated, FieldInfo) else stated


def _annotated(wanted: Any, notes: Sequence[Any]) -> Check:
    checks = [_check(wanted)]
    for note in notes:
        if isinstance(note, FieldInfo):
            for name, bound in note.rules.items():
                # What is not finite breaks no other bound; and what is in a list that is too long, nobody looks at.
                place = 1 if name == "allow_inf_nan" else len(checks)
                if name == "max_length" and typing.get_origin(wanted) is list:
                    place = 0
                checks.insert(place, rule(name, bound, wanted))
        elif isinstance(note, AfterValidator):
            checks.append(lambda value, location, func=note.func: _judged(func, value, location))  # type: ignore[misc]

    def check(value: Any, location: Location) -> Any:
        for one in checks:
            value = one(value, location)
        return value

    return check


def _judged(judge: Callable[..., Any], value: Any, location: Location) -> Any:
    asked = judge.__code__.co_argcount - (1 if hasattr(judge, "__self__") else 0)
    try:
        return judge(value, ValidationInfo()) if asked == 2 else judge(value)
    except (ValueError, AssertionError) as error:
        # A refusal of pydantic-core's kind has a type of its own, and its words stand alone.
        kind = getattr(error, "type", None)
        opening = "" if kind else "Assertion failed, " if isinstance(error, AssertionError) else "Value error, "
        raise refuse(kind or "value_error", location, f"{opening}{error}") from None


def _plain(value: Any) -> Any:
    """What JSON has for a value; no number is what JSON lacks."""
    if isinstance(value, BaseModel):
        return {name: _plain(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
