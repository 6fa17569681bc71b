"""From the rows of a batch to the answers that the room's service would give, and the refusals of those it would not.

Contract, features, graph and response are the service's own; nothing is read or written here, and no row is counted.
"""

from __future__ import annotations

import gc
import threading
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, cast

import numpy as np
import orjson
import pyarrow as pa
from pydantic import BaseModel, TypeAdapter, ValidationError, create_model

from bakehouse.errors import ConfigurationError, DataError
from bentos.common.judging import DOCUMENT, Judge, Refusal, overlong, refused
from bentos.common.masking import PII, masker, models, pii
from bentos.common.predictor import Predictor, RefusedError
from bentos.common.raw_lines import Line, Overlong
from bentos.common.room import Room
from bentos.common.service import PredictionService
from bentos.common.session import OnnxModel

Arrays = dict[str, np.ndarray[Any, Any]]
MODEL_VERSION = "model_version"
OF_THE_ROW = (404, 422)
"""The statuses of a refusal with which the row is to blame, and not what it is answered by."""


def asked(room: Room, keep: Sequence[str] = (), ignore: Sequence[str] = ()) -> type[BaseModel]:
    """The room's request with the names of its record beside it, and those in `keep` and `ignore`: a file of records is
    scored as it is. What stands under such a name is not looked at, and never goes into quarantine.

    Raises `ConfigurationError` where `keep` names what the contract marks as personal data.
    """
    request = cast("type[BaseModel]", room.contract.Request)
    record = cast("type[BaseModel]", room.contract.Record)
    personal = [name for name in keep for model in (request, record) if _is_personal(model, name)]
    if personal:
        raise ConfigurationError(
            f"keep names {', '.join(dict.fromkeys(personal))}, which bentos/{room.name}/contract.py marks as personal"
            " data.",
            "Keep an id that says nothing about a person; file and row find the rest.",
        )
    beside = [name for name in (*record.model_fields, *keep, *ignore) if name not in request.model_fields]
    fields: dict[str, Any] = dict.fromkeys(beside, (Annotated[Any, PII("drop")], None))
    return create_model(request.__name__, __base__=request, **fields)


def _is_personal(model: type[BaseModel], name: str) -> bool:
    field = model.model_fields.get(name)
    if field is None:
        return False
    inside = create_model("Inside", **{name: (field.annotation, field)})  # type: ignore[call-overload]
    return any(pii(part) is not None for held in models(inside) for part in held.model_fields.values())


@dataclass
class Asked:
    """What the gatekeeper's rules need of a contract, for rows that are asked about rather than learnt from."""

    Record: type[BaseModel]

    @staticmethod
    def record_id(record: Any, /) -> str:
        return ""

    @staticmethod
    def record_time(record: Any, /) -> datetime | None:
        return None


@dataclass(frozen=True)
class Scored:
    """What became of some successive rows. `places` are those that were answered, in order; `answers` stand in the same
    order, as the columns of `Scorer.schema`."""

    rows: int
    places: Sequence[int]
    answers: pa.Table
    refusals: Sequence[Refusal]


class Scorer:
    """One graph with its room's contract and features. Thread-safe."""

    def __init__(
        self,
        room: Room,
        graph: Path,
        digest: str,
        model_version: int,
        key: bytes,
        keep: Sequence[str] = (),
        ignore: Sequence[str] = (),
    ) -> None:
        """Raises `ReleaseError` where the graph has another digest, `ConfigurationError` where `keep` can't be kept."""
        self.request = asked(room, keep, ignore)
        self._room = _predictor(room)
        self._model = OnnxModel(graph, digest)
        self._version = model_version
        self._keep = tuple(keep)
        self._adapter = TypeAdapter(self.request)
        self._judge = Judge(Asked(self.request), key, datetime.now(UTC))
        self._masker = masker(self.request, key)
        answers = [pa.field(name, arrow_type(field.annotation)) for name, field in self._fields().items()]
        taken = {field.name for field in answers} | {MODEL_VERSION, "data_version", "file", "row"}
        if repeated := sorted(taken.intersection(keep)):
            raise ConfigurationError(f"keep names {', '.join(repeated)}, which every answer has already.")
        self.schema = pa.schema([*(pa.field(name, pa.string()) for name in keep), *answers])

    def score(self, documents: Sequence[Line]) -> Scored:
        """Answer each row that the contract takes. A refusal's place is the row's among `documents`."""
        with _uncollected:
            return self._score(documents)

    def _score(self, documents: Sequence[Line]) -> Scored:
        places: list[int] = []
        items: list[BaseModel] = []
        refusals: list[Refusal] = []
        validate = self._adapter.validate_json
        context = {"now": datetime.now(UTC)}
        for place, document in enumerate(documents):
            if isinstance(document, Overlong):
                refusals.append(overlong(place, document))
                continue
            try:
                item = validate(document, context=context)
            except ValidationError as error:
                refusals.append(self._judge.refusal(place, document, error))
                continue
            places.append(place)
            items.append(item)
        arrays = self._arrays(documents, places, items, refusals)
        answers = self._answers(items, arrays)
        return Scored(len(documents), places, answers, sorted(refusals, key=lambda refusal: refusal.place))

    def _arrays(
        self, documents: Sequence[Line], places: list[int], items: list[BaseModel], refusals: list[Refusal]
    ) -> Arrays:
        """The graph's inputs, without the items that features refuse and those whose numbers are too large; both are
        taken out of `places` and `items`."""
        while items:
            try:
                arrays = self._room.arrays(items)
            except RefusedError as error:
                odd = _at_fault(error)
            else:
                finite = np.ones(len(items), np.bool_)
                for array in arrays.values():
                    if array.dtype.kind == "f":
                        finite &= np.isfinite(array).reshape(len(items), -1).all(axis=1)
                if finite.all():
                    return arrays
                reason = (DOCUMENT, "Numbers in it are too large to compute with")
                odd = dict.fromkeys(np.flatnonzero(~finite).tolist(), reason)
            for index in sorted(odd, reverse=True):
                place, item = places.pop(index), items.pop(index)
                refusals.append(self._refused(place, cast(bytes, documents[place]), item, odd[index]))
        return {}

    def _refused(self, place: int, document: bytes, item: BaseModel, reason: tuple[str, str]) -> Refusal:
        return refused(place, len(document), [reason], record=self._masker(item))

    def _answers(self, items: Sequence[BaseModel], arrays: Arrays) -> pa.Table:
        if not items:
            return self.schema.empty_table()
        responses = self._room.responses(items, self._model.run(arrays), self._version)
        columns: list[Any] = [[_text(getattr(item, name)) for item in items] for name in self._keep]
        for name, field in self._fields().items():
            values = [getattr(response, name) for response in responses]
            if pa.types.is_nested(self.schema.field(name).type):
                values = TypeAdapter(list[field.annotation]).dump_python(values)  # type: ignore[name-defined]
            columns.append(values)
        arrays_of = [pa.array(values, field.type) for values, field in zip(columns, self.schema, strict=True)]
        return pa.Table.from_arrays(arrays_of, schema=self.schema)

    def _fields(self) -> dict[str, Any]:
        return {name: field for name, field in self._room.response.model_fields.items() if name != MODEL_VERSION}


class _Uncollected:
    """A time without garbage collection, on any number of threads at once: a row is dozens of objects that die together
    and in no cycle, and looking for cycles among them takes as long as making them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._collected = False

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._collected = gc.isenabled()
                gc.disable()
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._collected and not self._inside:
                gc.enable()


_uncollected = _Uncollected()


def _predictor(room: Room) -> Predictor[Any, Any]:
    for value in vars(room.service).values():
        if isinstance(value, PredictionService):
            return cast("Predictor[Any, Any]", value.inner())
    raise ConfigurationError(f"bentos/{room.name}/service.py holds no service.", "Decorate its class as others do.")


def _at_fault(error: RefusedError) -> dict[int, tuple[str, str]]:
    """Which items features refuse, by their places: field and reason. Raises `DataError` where it is no item's fault,
    such as that of a feature store that is away."""
    odd: dict[int, tuple[str, str]] = {}
    for problem in error.problems:
        place, _, field = problem["field"].partition(".")
        if error.status not in OF_THE_ROW or not place.isdigit():
            raise DataError(
                f"No row can be scored now: {problem['field']}: {problem['reason']}.",
                "Run again when it is put right; what is scored stays scored.",
            ) from error
        odd[int(place)] = (field or DOCUMENT, problem["reason"])
    return odd


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else orjson.dumps(value, default=str).decode()


def arrow_type(annotation: Any) -> pa.DataType:
    """The column type of a response's field. Raises `ConfigurationError` for a type that no column holds."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return arrow_type(arguments[0])
    if origin in (typing.Union, types.UnionType):
        kinds = {arrow_type(part) for part in arguments if part is not types.NoneType}
        if len(kinds) == 1:
            return kinds.pop()
    elif origin is typing.Literal:
        kinds = {arrow_type(type(value)) for value in arguments if value is not None}
        if len(kinds) == 1:
            return kinds.pop()
    elif origin in (list, tuple, Sequence) and arguments:
        return pa.list_(arrow_type(arguments[0]))
    elif origin in (dict, Mapping):
        return pa.map_(arrow_type(arguments[0]), arrow_type(arguments[1]))
    elif isinstance(annotation, type):
        return _arrow_type_of(annotation)
    raise ConfigurationError(f"A response of type {annotation} has no column in Parquet.")


def _arrow_type_of(kind: type) -> pa.DataType:
    if issubclass(kind, BaseModel):
        return pa.struct([(name, arrow_type(field.annotation)) for name, field in kind.model_fields.items()])
    for base, arrow in (
        (bool, pa.bool_()),
        (int, pa.int64()),
        (float, pa.float64()),
        (str, pa.string()),
        (datetime, pa.timestamp("us", "UTC")),
        (date, pa.date32()),
    ):
        if issubclass(kind, base) and not issubclass(kind, Enum):
            return arrow
    raise ConfigurationError(f"A response of type {kind.__name__} has no column in Parquet.")
