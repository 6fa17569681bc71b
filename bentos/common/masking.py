"""What keeps personal data out of everything behind the gatekeeper: the mark in the types, its masker, and the key.

Holds the mark `PII`, the masker compiled from the marks of a pydantic model, and the masking key. How a value of each
kind is masked stands in `bentos.common.scrubbing`. Knows no model, and leaves validation to pydantic.
"""

from __future__ import annotations

import os
import secrets
import types
import typing
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from bakehouse import workspace
from bakehouse.errors import ConfigurationError
from bentos.common.scrubbing import area, is_suspicious, scrub, tokens

KEY_VARIABLE = "BAKEHOUSE_MASKING_KEY"
SHORTEST_KEY = 32
MOST_REMEMBERED = 20_000
_TEXT: dict[str, Callable[[str], str]] = {"area": area, "scrub": scrub}

Kind = Literal["drop", "hash", "area", "scrub"]
Location = tuple[str | int, ...]
"""Where in a document: field names and places in lists."""


@dataclass(frozen=True)
class PII:
    """Marks a field as personal data: `Annotated[str, PII("hash", "email")]`.

    Masking leaves a `drop` field out, puts a keyed token in the place of a `hash` field, cuts an `area` field to its
    postal area, and takes e-mail addresses, phone and card numbers out of a `scrub` field. `label` opens the token
    (`email:3f9a…`); `email` and `phone` also say how values are made alike before they are hashed.
    """

    kind: Kind
    label: str = "hash"


def masking_key() -> bytes:
    """The key of the tokens: `BAKEHOUSE_MASKING_KEY`, else one that is generated once and kept in the state folder.

    Raises `ConfigurationError` where the variable is shorter than 32 characters: tokens of a key that can be guessed
    are undone by hashing a list of e-mail addresses.
    """
    named = os.environ.get(KEY_VARIABLE)
    if named is not None:
        if len(named) < SHORTEST_KEY:
            raise ConfigurationError(
                f"{KEY_VARIABLE} has {len(named)} characters, and a masking key has {SHORTEST_KEY} or more.",
                "Make one with `openssl rand -hex 32`, or unset it to have one generated.",
            )
        return named.encode()
    path = workspace.generated_key("masking.key", lambda: secrets.token_hex(32).encode())
    key = path.read_bytes()
    if len(key) < SHORTEST_KEY:
        raise ConfigurationError(f"{path} holds no masking key.", "Delete it to have a new one generated.")
    return key


def masker(model: type[BaseModel], key: bytes) -> Masker:
    """The masker of `model`. Raises `TypeError` where a mark stands where masking can't reach: never silently."""
    return Masker(model, key)


class Masker:
    """Masks validated records of one pydantic model, by the marks in its types. Compiled once, fast for each record."""

    def __init__(self, model: type[BaseModel], key: bytes) -> None:
        self.model = model
        self._key = key
        self._plans = {part: self._plan(part) for part in models(model)}
        self.names = frozenset(name for part in self._plans for name in part.model_fields)
        """The field names of the model and of those inside it: the only names that are safe to repeat."""
        self.values = self._of_model(model) or _unmasked
        """The same with values that are still Python's (times are), and in part the record's own: not to be changed."""

    def __call__(self, record: BaseModel) -> dict[str, Any]:
        """The record without personal data, as plain JSON values. Fields that are not set stay absent."""
        masked: dict[str, Any] = to_jsonable_python(self.values(record))
        return masked

    def mask_refused(self, document: Any, faults: Collection[Location]) -> Any:
        """What may be kept of a document that the contract refuses, `faults` being the places where it does.

        Marked fields are masked and unmarked ones kept, as they are in a valid record; the value at a fault and under a
        name that the contract doesn't know could be anything, so only its type and size remain.
        """
        prefixes = {fault[:end] for fault in faults for end in range(1, len(fault) + 1)}
        return self._refused(self.model, document, (), _Faults(frozenset(faults), frozenset(prefixes)))

    def _plan(self, model: type[BaseModel]) -> dict[str, _Field]:
        return {name: self._field(model, name, field) for name, field in model.model_fields.items()}

    def _field(self, model: type[BaseModel], name: str, field: FieldInfo) -> _Field:
        mark = pii(field)
        if mark is None:
            one, many = _nested(model, name, field)
            return _Field(one=one, many=many)
        if mark.kind == "drop":
            return _Field(dropped=True)
        if _unwrapped(field.annotation) is not str:
            raise TypeError(
                f"{model.__name__}.{name} is marked {mark.kind!r}, which masks text: make it str or str | None."
            )
        return _Field(text=tokens(self._key, mark.label) if mark.kind == "hash" else _TEXT[mark.kind])

    def _of_model(self, model: type[BaseModel]) -> Callable[[Any], Any] | None:
        """How a record is masked; None where it may stay as it is."""
        plan = self._plans[model]
        dropped = [name for name, field in plan.items() if field.dropped]
        rules = [(name, rule) for name, field in plan.items() if (rule := self._of_field(field)) is not None]
        if not dropped and not rules and all(field.is_required() for field in model.model_fields.values()):
            return None

        optional = [name for name, field in model.model_fields.items() if not field.is_required()]

        def mask(record: BaseModel) -> dict[str, Any]:
            masked, is_set = record.__dict__.copy(), record.__pydantic_fields_set__
            if len(is_set) < len(masked):
                for name in optional:
                    if name not in is_set:
                        del masked[name]
            for name in dropped:
                masked.pop(name, None)
            for name, rule in rules:
                value = masked.get(name)
                if value is not None:
                    masked[name] = rule(value)
            return masked

        return mask

    def _of_field(self, field: _Field) -> Callable[[Any], Any] | None:
        if field.one is not None:
            return self._of_model(field.one)
        return field.text if field.many is None else self._of_models(field.many)

    def _of_models(self, model: type[BaseModel]) -> Callable[[list[Any]], list[Any]] | None:
        mask = self._of_model(model)
        if mask is None:
            return None
        scrubbed = [name for name, field in self._plans[model].items() if field != _Field()]
        required = all(field.is_required() for field in model.model_fields.values())
        if not required or [self._plans[model][name].text for name in scrubbed] != [scrub]:
            return lambda records: [mask(record) for record in records]
        (text,) = scrubbed

        # A list of lines is most of a document, and hardly ever is there anything to scrub in it. What is sold is sold
        # again, so texts that were clean are remembered; the others are looked at together.
        clean: set[str | None] = {None}

        def mask_all(records: list[Any]) -> list[Any]:
            values = [record.__dict__ for record in records]
            texts = [value[text] for value in values]
            if not clean.issuperset(texts):
                fresh = set(texts) - clean
                if is_suspicious(";".join(fresh)):
                    return [mask(record) for record in records]
                if len(clean) > MOST_REMEMBERED:
                    clean.clear()
                    clean.add(None)
                clean.update(fresh)
            return values

        return mask_all

    def _refused(self, model: type[BaseModel], document: Any, here: Location, faults: _Faults) -> Any:
        if not isinstance(document, dict):
            return shape(document)
        plan = self._plans[model]
        kept = {
            name: self._refused_value(field, document[name], (*here, name), faults)
            for name, field in plan.items()
            if name in document and not field.dropped
        }
        # Not even the names: {"ada@example.com": true} is JSON too.
        unknown = len(document.keys() - plan.keys())
        return {**kept, "(unknown names)": unknown} if unknown else kept

    def _refused_value(self, field: _Field, value: Any, here: Location, faults: _Faults) -> Any:
        if value is None:
            return None
        if here in faults.places:
            return shape(value)
        if field.one is not None:
            return self._refused(field.one, value, here, faults)
        if field.many is not None:
            return self._refused_list(field.many, value, here, faults)
        if here in faults.prefixes:
            return shape(value)
        if field.text is not None:
            return field.text(value) if isinstance(value, str) else shape(value)
        return value

    def _refused_list(self, model: type[BaseModel], value: Any, here: Location, faults: _Faults) -> Any:
        if not isinstance(value, list):
            return shape(value)
        return [
            shape(item) if (*here, place) in faults.places else self._refused(model, item, (*here, place), faults)
            for place, item in enumerate(value)
        ]


@dataclass(frozen=True)
class _Field:
    """What masking does with a field: drop it, change its text, or go into the one model or the many that it holds."""

    dropped: bool = False
    text: Callable[[str], str] | None = None
    one: type[BaseModel] | None = None
    many: type[BaseModel] | None = None


@dataclass(frozen=True)
class _Faults:
    places: frozenset[Location]
    prefixes: frozenset[Location]
    """The places, and every place that one of them is inside of."""


def pii(field: FieldInfo) -> PII | None:
    """The mark of a field, wherever in its annotation it stands (`Annotated[str, PII("drop")] | None` too)."""
    marks = [mark for mark in (*field.metadata, *_marks(field.annotation)) if isinstance(mark, PII)]
    return marks[0] if marks else None


def shape(value: Any) -> str:
    """What a value is without saying it: `(text, 17 characters)`."""
    match value:
        case str():
            return f"(text, {len(value)} characters)"
        case bool():
            return "(true or false)"
        case int() | float():
            return "(number)"
        case list():
            return f"(list, {len(value)} items)"
        case dict():
            return f"(object, {len(value)} names)"
    return "(null)"


def _unmasked(record: BaseModel) -> BaseModel:
    return record


def models(model: type[BaseModel]) -> set[type[BaseModel]]:
    """The model and every one that is somewhere inside it."""
    found: set[type[BaseModel]] = set()
    waiting = [model]
    while waiting:
        part = waiting.pop()
        if part not in found:
            found.add(part)
            inner = [_nested(part, name, field) for name, field in part.model_fields.items()]
            waiting += [held for pair in inner for held in pair if held is not None]
    return found


def _marks(annotation: Any) -> Iterator[Any]:
    if typing.get_origin(annotation) is Annotated:
        yield from annotation.__metadata__
    for argument in typing.get_args(annotation):
        yield from _marks(argument)


def _nested(
    model: type[BaseModel], name: str, field: FieldInfo
) -> tuple[type[BaseModel] | None, type[BaseModel] | None]:
    """The model that the field holds one of, and the one that it holds a list of."""
    inner = _unwrapped(field.annotation)
    if _is_model(inner):
        return inner, None
    if typing.get_origin(inner) is list and _is_model(item := _unwrapped(typing.get_args(inner)[0])):
        return None, item
    if any(_is_model(part) for part in _parts(inner)):
        raise TypeError(
            f"{model.__name__}.{name} holds a model where masking does not reach: use X, X | None or list[X]."
        )
    return None, None


def _unwrapped(annotation: Any) -> Any:
    origin = typing.get_origin(annotation)
    if origin is Annotated:
        return _unwrapped(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        rest = [part for part in typing.get_args(annotation) if part is not type(None)]
        return _unwrapped(rest[0]) if len(rest) == 1 else annotation
    return annotation


def _parts(annotation: Any) -> Iterator[Any]:
    yield annotation
    for argument in typing.get_args(annotation):
        yield from _parts(argument)


def _is_model(annotation: Any) -> typing.TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
