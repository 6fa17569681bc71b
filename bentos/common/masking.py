"""What keeps personal data out of everything behind the gatekeeper: the mark in the types, its masker, and the key.

Holds the mark `PII`, the masker compiled from the marks of a pydantic model, and the masking key. How a value of each
kind is masked stands in `bentos.common.scrubbing`. Knows no model, and leaves validation to pydantic.
"""

from __future__ import annotations

import os
import secrets
import types
import typing
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Annotated, Any, Literal

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import to_json, to_jsonable_python

from bakehouse import workspace
from bakehouse.errors import ConfigurationError
from bentos.common.scrubbing import area, is_suspicious, scrub, token

KEY_VARIABLE = "BAKEHOUSE_MASKING_KEY"
SHORTEST_KEY = 32
REMEMBERED_TOKENS = 65_536

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
    path = workspace.state() / "masking.key"
    if not path.exists():
        draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:  # noqa: PTH123
            file.write(secrets.token_hex(32))
        try:
            # A link fails where the file exists: of two first runs at once, one key wins and both use it.
            path.hardlink_to(draft)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
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
        self.names = frozenset(_names(model))
        """The field names of the model and of those inside it: the only names that are safe to repeat."""
        # Customers come back: remembering tokens is cheaper than hashing again.
        self._token = lru_cache(REMEMBERED_TOKENS)(partial(token, key))
        self._mask = self._of_model(model)

    def __call__(self, record: BaseModel) -> dict[str, Any]:
        """The record without personal data, as plain JSON values. Fields that are not set stay absent."""
        masked: dict[str, Any] = to_jsonable_python(self._mask(record))
        return masked

    def to_json(self, record: BaseModel) -> bytes:
        """The same as one line of JSON, without its end."""
        return to_json(self._mask(record))

    def mask_refused(self, document: Any, faults: Collection[Location]) -> Any:
        """What may be kept of a document that the contract refuses, `faults` being the places where it does.

        Marked fields are masked and unmarked ones kept, as they are in a valid record; the value at a fault and under a
        name that the contract doesn't know could be anything, so only its type and size remain.
        """
        prefixes = {fault[:end] for fault in faults for end in range(1, len(fault) + 1)}
        return self._refused(self.model, document, (), _Faults(frozenset(faults), frozenset(prefixes)))

    def _of_model(self, model: type[BaseModel]) -> Callable[[BaseModel], Any]:
        rules = {name: self._of_field(model, name, field) for name, field in model.model_fields.items()}
        if all(rule is _keep for rule in rules.values()) and all(f.is_required() for f in model.model_fields.values()):
            return _keep
        kept = [(name, rule) for name, rule in rules.items() if rule is not None]

        def mask(record: BaseModel) -> dict[str, Any]:
            values, is_set = record.__dict__, record.model_fields_set
            return {
                name: value if (value := values[name]) is None or rule is _keep else rule(value)
                for name, rule in kept
                if name in is_set
            }

        return mask

    def _of_field(self, model: type[BaseModel], name: str, field: FieldInfo) -> Callable[[Any], Any] | None:
        """How a value of the field that is not None is masked; None where the field is dropped."""
        mark = pii(field)
        if mark is not None:
            return None if mark.kind == "drop" else self._of_mark(mark)
        one, many = _nested(model, name, field)
        if one is not None:
            return self._of_model(one)
        if many is not None:
            return self._of_models(many)
        return _keep

    def _of_mark(self, mark: PII) -> Callable[[Any], str]:
        if mark.kind == "hash":
            return lambda value: self._token(mark.label, str(value))
        if mark.kind == "area":
            return area
        return scrub

    def _of_models(self, model: type[BaseModel]) -> Callable[[list[BaseModel]], list[Any]]:
        mask = self._of_model(model)
        if mask is _keep:
            return _keep
        texts = _only_scrubbed(model)
        if texts is None:
            return lambda records: [mask(record) for record in records]
        (text,) = texts

        # A list of lines is most of a document, and hardly ever is there anything to scrub in it: ask about all lines
        # at once, and leave the clean ones to be written as they are.
        def mask_all(records: list[BaseModel]) -> list[Any]:
            joined = ";".join([value for record in records if (value := record.__dict__[text])])
            return [mask(record) for record in records] if is_suspicious(joined) else records

        return mask_all

    def _refused(self, model: type[BaseModel], document: Any, here: Location, faults: _Faults) -> Any:
        if not isinstance(document, dict):
            return shape(document)
        kept: dict[str, Any] = {}
        for name, value in document.items():
            field = model.model_fields.get(name)
            if field is not None and not _is_dropped(field):
                kept[name] = self._refused_value(model, name, value, (*here, name), faults)
        unknown = len(document.keys() - model.model_fields.keys())
        # Not even the names: {"ada@example.com": true} is JSON too.
        return {**kept, "(unknown names)": unknown} if unknown else kept

    def _refused_value(self, model: type[BaseModel], name: str, value: Any, here: Location, faults: _Faults) -> Any:
        field = model.model_fields[name]
        one, many = _nested(model, name, field)
        if value is None:
            return None
        if here in faults.places:
            return shape(value)
        if one is not None:
            return self._refused(one, value, here, faults)
        if many is not None:
            if not isinstance(value, list):
                return shape(value)
            return [
                shape(item) if (*here, place) in faults.places else self._refused(many, item, (*here, place), faults)
                for place, item in enumerate(value)
            ]
        mark = pii(field)
        if here in faults.prefixes or (mark is not None and not isinstance(value, str)):
            return shape(value)
        return value if mark is None else self._of_mark(mark)(value)


@dataclass(frozen=True)
class _Faults:
    places: frozenset[Location]
    prefixes: frozenset[Location]
    """The places, and every place that one of them is inside of."""


def pii(field: FieldInfo) -> PII | None:
    """The mark of a field, wherever in its annotation it stands (`Annotated[str, PII("drop")] | None` too)."""
    marks = [mark for mark in (*field.metadata, *_marks(field.annotation)) if isinstance(mark, PII)]
    return marks[0] if marks else None


def _is_dropped(field: FieldInfo) -> bool:
    mark = pii(field)
    return mark is not None and mark.kind == "drop"


def _names(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield name
        for inner in _nested(model, name, field):
            if inner is not None:
                yield from _names(inner)


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


def _keep(value: Any) -> Any:
    return value


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


def _only_scrubbed(model: type[BaseModel]) -> Sequence[str] | None:
    """The one text field of a flat model whose only mark is that field's `scrub` and whose fields are all required."""
    fields = model.model_fields
    marked = {name: mark for name, field in fields.items() if (mark := pii(field))}
    flat = all(field.is_required() and _nested(model, name, field) == (None, None) for name, field in fields.items())
    return tuple(marked) if flat and [mark.kind for mark in marked.values()] == ["scrub"] else None
