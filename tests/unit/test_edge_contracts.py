"""The edge's stand-in for pydantic against pydantic itself: every room's contract, on documents with faults."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from bentos.common.edge.run import Code, room
from bentos.common.edge_package import write_code
from bentos.common.predictor import RefusedError, refusal
from bentos.common.room import load_room, rooms

CHECKOUT = Path(__file__).resolve().parents[2]
DOCUMENTS = 400
VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 3, 21, 1.5, -0.0, 1e308, 10**400, "", " ", "A", "C536365", "536365\n", "nan", [],
    [None], {}, {"a": 1},
    "2010-12-01T08:26:00Z", "2010-12-01T08:26", "2010-12-01 08:26:00.5+01:00", "2999-01-01T00:00:00Z",
    "2010-02-30T08:26:00Z", "1979-12-31T00:00:00Z", "2016-02-06", "2016-13-01", "x" * 6_000, "e\u0301\u00df\u0000",
)  # fmt: skip
WORDED_ALIKE = {"time", "day"}
"""pydantic also says where in a moment it stopped reading; the stand-in says only that it is none."""


def changed(document: Any, chance: random.Random) -> Any:
    """The document with one to three values replaced, removed, repeated or added."""
    found = copy.deepcopy(document)
    for _ in range(chance.randint(1, 3)):
        holders = list(_holders(found))
        if not holders:
            break
        holder, key = chance.choice(holders)
        match chance.randrange(5):
            case 0:
                del holder[key]
            case 1 if isinstance(holder, dict):
                holder[chance.choice(["unknown", "Ada Example", "9", key])] = chance.choice(VALUES)
            case 2 if isinstance(holder, list):
                holder.append(copy.deepcopy(chance.choice([holder[key], *VALUES])))
            case _:
                holder[key] = copy.deepcopy(chance.choice(VALUES))
    return found


def _holders(document: Any) -> Iterator[tuple[Any, Any]]:
    places = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in places:
        yield document, key
        yield from _holders(value)


def problems(error: RefusedError) -> list[tuple[str, str, str | None]]:
    return sorted(
        (one["field"], "" if one["field"].split(".")[-1] in WORDED_ALIKE else one["reason"], one.get("allowed"))
        for one in error.problems
    )


@pytest.fixture(params=rooms(CHECKOUT))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def code(name: str, tmp_path: Path) -> Code:
    write_code(CHECKOUT, name, tmp_path / "code")
    return Code(tmp_path / "code")


def test_the_stand_in_judges_every_contract_as_pydantic_does(name: str, code: Code) -> None:
    """The same documents are accepted, with the same values; the others are refused for the same fields and reasons."""
    whole = load_room(name, CHECKOUT)
    ours, theirs = TypeAdapter(whole.contract.Request), room(code, name)
    adapter = code.module("pydantic").TypeAdapter(theirs.request)
    edge_refusal = code.module("bentos.common.predictor").refusal
    edge_error = code.module("pydantic").ValidationError
    chance = random.Random(7)
    example = json.loads(json.dumps(whole.contract.EXAMPLE))
    accepted = 0
    for number in range(DOCUMENTS):
        body = json.dumps(changed(example, chance) if number else example).encode()
        said: Any = None
        answered: Any = None
        try:
            wanted = ours.validate_json(body)
        except ValidationError as error:
            said = problems(refusal(error))
        try:
            found = adapter.validate_json(body)
        except edge_error as error:
            answered = problems(edge_refusal(error))
        assert answered == said, body
        if said is None:
            accepted += 1
            assert _plain(found) == wanted.model_dump(), body
    assert 1 <= accepted < DOCUMENTS


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return {name: _plain(item) for name, item in vars(value).items()} if hasattr(value, "model_fields") else value


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b'"\\ud800"', b"[" * 100_000, b"[1,]", b"{'text': 1}", b"nul"], ids=range(8)
)
def test_what_is_not_json_is_refused_as_that(body: bytes, tmp_path: Path) -> None:
    name = rooms(CHECKOUT)[0]
    write_code(CHECKOUT, name, tmp_path / "code")
    code = Code(tmp_path / "code")
    adapter = code.module("pydantic").TypeAdapter(room(code, name).request)
    with pytest.raises(code.module("pydantic").ValidationError) as found:
        adapter.validate_json(body)
    assert code.module("bentos.common.predictor").refusal(found.value).status == 400
