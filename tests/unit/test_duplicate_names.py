"""Names that stand twice in a JSON object are found, whatever the document looks like."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from bentos.common import duplicate_names
from bentos.common.duplicate_names import DuplicateNames
from bentos.orders.contract import Record
from tests.order_documents import ORDERS, line, order


def found(document: bytes, model: type[BaseModel] = Record) -> str | None:
    return DuplicateNames(model).find(document, model.model_validate_json(document))


@given(document=ORDERS, ascii_only=st.booleans(), spaces=st.booleans())
def test_a_document_without_them_has_none_and_is_not_read_twice(
    document: dict[str, Any], ascii_only: bool, spaces: bool
) -> None:
    separators = (", ", ": ") if spaces else (",", ":")
    raw = json.dumps(document, ensure_ascii=ascii_only, separators=separators).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicate_names, "_search", lambda _: "read twice")
        assert found(raw) is None


@given(document=ORDERS, data=st.data())
def test_a_name_that_is_written_twice_anywhere_is_found(document: dict[str, Any], data: st.DataObject) -> None:
    places = [document, document["lines"][0]]
    chosen = data.draw(st.sampled_from(places))
    name = data.draw(st.sampled_from(sorted(chosen)))
    first = data.draw(st.sampled_from([1, None, "", "x", '"', '\\"', [], ["a", {"b": '"'}], {"c": 1}]))
    gap = data.draw(st.sampled_from(["", " ", "\t"]))
    text = json.dumps(document)
    inside = json.dumps(chosen)
    twice = "{" + f"{json.dumps(name)}{gap}:{json.dumps(first)}," + inside[1:]
    assert inside in text
    assert found(text.replace(inside, twice, 1).encode()) is not None


def test_the_name_may_be_written_with_escapes() -> None:
    text = line(order()).decode().replace('"currency"', '"curr\\u0065ncy": "EUR", "currency"')
    assert found(text.encode()) == "currency"


def test_a_quotation_mark_in_a_text_is_no_name() -> None:
    assert found(line(order(note='He said "two", \\ and "three": 3'))) is None
    assert found(line(order(note="ends with a backslash \\"))) is None


class Odd(BaseModel):
    price: Decimal
    at: datetime
    tags: list[str] = ["none"]
    extra: dict[str, str] = {}


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b'{"price": 1.5, "at": "2020-01-01T00:00:00Z"}', None),
        (b'{"price": 1.5, "at": "2020-01-01T00:00:00Z", "tags": ["a", "b"], "extra": {"a": "b"}}', None),
        (b'{"price": 1.5, "at": "2020-01-01T00:00:00Z", "price": 2}', "price"),
        (b'{"price": 1.5, "at": "2020-01-01T00:00:00Z", "extra": {"a": "b", "a": "c"}}', "a"),
    ],
)
def test_types_whose_json_is_not_known_cost_time_and_not_correctness(raw: bytes, expected: str | None) -> None:
    assert found(raw, Odd) == expected
