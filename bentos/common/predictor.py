"""What a room's service says, and how bytes become answers through it: contract, features, graph, response.

Knows no HTTP and no BentoML: refusals are values with a field and a reason, which the endpoint turns into a status.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from bentos.common.session import OnnxModel

Arrays = dict[str, NDArray[Any]]
RequestT = TypeVar("RequestT", bound=BaseModel)
ResponseT = TypeVar("ResponseT", bound=BaseModel)

MOST_DOCUMENTS = 1_000
MOST_PROBLEMS = 20
WHOLE_DOCUMENT = "(document)"

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_ALLOWED = {"ge": ">= {}", "gt": "> {}", "le": "<= {}", "lt": "< {}", "pattern": "matching {}"}
_ALLOWED |= {"min_length": "at least {} long", "max_length": "at most {} long", "expected": "{}"}


class Predictor(ABC, Generic[RequestT, ResponseT]):
    """The base of a room's service. A room names its contract and says how arrays are made and read."""

    request: type[RequestT]
    response: type[ResponseT]
    example: ClassVar[Mapping[str, Any]]
    outcomes: ClassVar[tuple[str, ...]] = ("any",)
    alarm: ClassVar[str | None] = None
    """The outcome whose share is the anomaly rate, where the model has one."""
    truth: ClassVar[Any] = None
    """The type of the true label that feedback may give: a Literal of labels, or a bounded number. Without one the
    service takes no feedback."""

    @abstractmethod
    def arrays(self, requests: Sequence[RequestT]) -> Arrays:
        """The graph's inputs by name, one row for each request. Raises `RefusedError` for those that have none, whose
        fields open with the place among `requests`, of however many: `0.student_id`."""

    def waits(self, requests: Sequence[RequestT]) -> bool:
        """Whether making their arrays may wait for another machine: then it never happens on the event loop."""
        return False

    @abstractmethod
    def responses(self, requests: Sequence[RequestT], outputs: Arrays, model_version: int) -> Sequence[ResponseT]:
        """What is answered to each request, from its row of the graph's outputs."""

    def outcome(self, response: ResponseT) -> str:
        """Which of `outcomes` the response is, for the metrics."""
        return "any"


class RefusedError(Exception):
    """A request that can't be answered, with a problem for each field: name, reason, and allowed values where there are
    some. Never holds a value of the request."""

    def __init__(self, status: int, problems: Sequence[Mapping[str, str]], more: int = 0) -> None:
        super().__init__(status)
        self.status = status
        self.problems = tuple(problems)
        self.more = more


def refused(status: int, field: str, reason: str, allowed: str | None = None) -> RefusedError:
    """A refusal for one reason."""
    problem = {"field": field, "reason": reason}
    if allowed is not None:
        problem["allowed"] = allowed
    return RefusedError(status, [problem])


@dataclass(frozen=True, slots=True)
class Asked(Generic[RequestT]):
    """The documents of one HTTP request, and whether they came as a list."""

    requests: Sequence[RequestT]
    several: bool


@dataclass(frozen=True, slots=True)
class Prediction(Generic[RequestT, ResponseT]):
    """What one HTTP request asked and got; `body` is the answer as JSON."""

    requests: Sequence[RequestT]
    responses: Sequence[ResponseT]
    outcomes: Sequence[str]
    body: bytes


class Pipeline(Generic[RequestT, ResponseT]):
    """From the bytes of a request to the bytes of its answer. Thread-safe."""

    def __init__(self, room: Predictor[RequestT, ResponseT], model: OnnxModel, model_version: int) -> None:
        self._room = room
        self._model = model
        self._model_version = model_version
        self._one = TypeAdapter(room.request)
        self._many: TypeAdapter[list[RequestT]] = TypeAdapter(
            Annotated[list[room.request], Field(min_length=1, max_length=MOST_DOCUMENTS)]  # type: ignore[name-defined]
        )
        self._answers: TypeAdapter[list[ResponseT]] = TypeAdapter(list[room.response])  # type: ignore[name-defined]

    def predict(self, body: bytes) -> Prediction[RequestT, ResponseT]:
        """Answer one document, or a list of at most `MOST_DOCUMENTS`. Raises `RefusedError`."""
        return self.answer(self.read(body))

    def read(self, body: bytes) -> Asked[RequestT]:
        """The documents that keep the contract. Raises `RefusedError`."""
        several = body[:64].lstrip()[:1] == b"["
        try:
            return Asked(self._many.validate_json(body) if several else (self._one.validate_json(body),), several)
        except ValidationError as error:
            raise refusal(error) from None

    def waits(self, asked: Asked[RequestT]) -> bool:
        """Whether to answer them may wait for another machine."""
        return self._room.waits(asked.requests)

    def answer(self, asked: Asked[RequestT]) -> Prediction[RequestT, ResponseT]:
        """Answer what was read. Raises `RefusedError`."""
        requests, several = asked.requests, asked.several
        try:
            arrays = self._room.arrays(requests)
            _require_finite(arrays)
        except RefusedError as error:
            raise _told(error, several) from error
        responses = self._room.responses(requests, self._model.run(arrays), self._model_version)
        outcomes = [self._room.outcome(response) for response in responses]
        if several:
            answer = self._answers.dump_json(list(responses))
        else:
            answer = responses[0].__pydantic_serializer__.to_json(responses[0])
        return Prediction(requests, responses, outcomes, answer)


def refusal(error: ValidationError) -> RefusedError:
    """Why a body is refused: 400 where it is not JSON, 422 where it breaks the contract."""
    details = error.errors(include_input=False, include_url=False)
    if details[0]["type"] == "json_invalid":
        reason = details[0]["ctx"]["error"]
        return refused(400, WHOLE_DOCUMENT, f"Not JSON: {reason}", "JSON in UTF-8")
    return RefusedError(422, [_problem(detail) for detail in details[:MOST_PROBLEMS]], len(details[MOST_PROBLEMS:]))


def _told(error: RefusedError, several: bool) -> RefusedError:
    """What a client is told of what features refuse: no place where it sent one document, and so many problems."""
    problems = error.problems[:MOST_PROBLEMS]
    if not several:
        problems = tuple({**problem, "field": _without_place(problem["field"])} for problem in problems)
    return RefusedError(error.status, problems, error.more + len(error.problems[MOST_PROBLEMS:]))


def _without_place(field: str) -> str:
    place, _, rest = field.partition(".")
    return (rest or WHOLE_DOCUMENT) if place.isdigit() else field


def _require_finite(arrays: Arrays) -> None:
    for array in arrays.values():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            row = int(np.argwhere(~np.isfinite(array))[0][0])
            raise refused(422, str(row), "Numbers in it are too large to compute with")


def _problem(detail: ErrorDetails) -> dict[str, str]:
    # A name that the contract doesn't know came from the request and could be anything, also personal data.
    location = list(detail["loc"])
    if detail["type"] == "extra_forbidden" and not _NAME.fullmatch(str(location[-1])):
        location[-1] = "(unknown name)"
    problem = {"field": ".".join(str(part) for part in location) or WHOLE_DOCUMENT, "reason": detail["msg"]}
    context = detail.get("ctx", {})
    if "expected" in context:
        problem["reason"] = "Input is none of the allowed values"
    allowed = [text.format(context[key]) for key, text in _ALLOWED.items() if key in context]
    if allowed:
        problem["allowed"] = " and ".join(allowed)
    return problem
