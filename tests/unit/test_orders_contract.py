"""Which orders are valid, as records for training and as requests to the service."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from pydantic import ValidationError

from bentos.orders.contract import MOST_LINES, Masked, Record, Request, record_id, record_time
from tests.order_documents import ORDERS, line, order

SOLD = {"stock_code": "85123A", "description": "HEART", "quantity": 6, "unit_price": 2.55}


def faults(document: Any) -> list[tuple[str, str]]:
    """Field and type of every fault of the document as a record, which are the same as a request."""
    found = []
    for kind in (Record, Request):
        try:
            kind.model_validate_json(line(document))
        except ValidationError as error:
            found.append([(".".join(map(str, one["loc"])), one["type"]) for one in error.errors()])
        else:
            found.append([])
    assert found[0] == found[1]
    return found[0]


def located(**changes: Any) -> dict[str, Any]:
    return order(customer={"address": changes})


def with_line(**changes: Any) -> dict[str, Any]:
    return order(lines=[{**SOLD, **changes}])


@pytest.mark.parametrize(
    "document",
    [
        order(),
        order(customer=None),
        order(order_id="C536379", lines=[{**SOLD, "quantity": -1}]),
        order(order_id="A563185"),
        order(order_id="1000000"),
        with_line(stock_code="15056bl"),
        with_line(stock_code="C2"),
        with_line(stock_code="gift_0001_20"),
        *(
            located(postal_code=code)
            for code in ("SW1A 1AA", "sw1a1aa", "75008", "D02 AF30", "00-950", "LT-01100", "1000-205", "12345-6789")
        ),
        with_line(quantity=-6),
        with_line(unit_price=0),
        with_line(description=None),
        with_line(stock_code="BANK CHARGES"),
        with_line(unit_price=3),
        order(country="EIRE", time="2010-12-01T08:26:00+05:30"),
        order(customer={}),
    ],
)
def test_real_dirt_of_the_shops_book_is_valid(document: dict[str, Any]) -> None:
    assert faults(document) == []


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        (order(order_id="X1"), ("order_id", "string_pattern_mismatch")),
        (order(order_id=536365), ("order_id", "string_type")),
        (order(order_id="536365\n"), ("order_id", "string_pattern_mismatch")),
        (order(time="yesterday"), ("time", "datetime_parsing")),
        (order(time="2010-12-01T08:26:00"), ("time", "timezone_aware")),
        (order(time="1999-12-31T23:59:59Z"), ("time", "too_early")),
        (order(time="2999-01-01T00:00:00Z"), ("time", "in_the_future")),
        (order(order_id="07700913577"), ("order_id", "string_pattern_mismatch")),
        (order(country=""), ("country", "literal_error")),
        (order(country="Zephyrine Quillfeather"), ("country", "literal_error")),
        (located(country="Zephyrine Quillfeather"), ("customer.address.country", "literal_error")),
        (located(postal_code="Jane Doe Street 5"), ("customer.address.postal_code", "string_too_long")),
        (located(postal_code="Jane Doe"), ("customer.address.postal_code", "string_pattern_mismatch")),
        (located(postal_code="Jane Doe 5"), ("customer.address.postal_code", "string_pattern_mismatch")),
        (located(postal_code="QUILL 7"), ("customer.address.postal_code", "string_pattern_mismatch")),
        (with_line(stock_code="4111 1111 1111 1111"), ("lines.0.stock_code", "string_pattern_mismatch")),
        (with_line(stock_code="07700 913577"), ("lines.0.stock_code", "string_pattern_mismatch")),
        (with_line(stock_code="0770091"), ("lines.0.stock_code", "string_pattern_mismatch")),
        (with_line(stock_code="ZEPHYRINE"), ("lines.0.stock_code", "string_pattern_mismatch")),
        (with_line(stock_code="POST\n"), ("lines.0.stock_code", "string_pattern_mismatch")),
        (order(currency="pounds"), ("currency", "string_pattern_mismatch")),
        (order(note="x" * 2_001), ("note", "string_too_long")),
        (order(lines=[]), ("lines", "too_short")),
        (order(lines=[SOLD] * (MOST_LINES + 1)), ("lines", "too_long")),
        (order(extra=1), ("extra", "extra_forbidden")),
        (with_line(quantity=0), ("lines", "zero_quantity")),
        (with_line(quantity=1.5), ("lines.0.quantity", "int_type")),
        (with_line(quantity=10**9), ("lines.0.quantity", "less_than_equal")),
        (with_line(quantity=True), ("lines.0.quantity", "int_type")),
        (with_line(unit_price=-1), ("lines.0.unit_price", "greater_than_equal")),
        (with_line(unit_price=1e300), ("lines.0.unit_price", "less_than_equal")),
        (with_line(unit_price=float("nan")), ("lines.0.unit_price", "finite_number")),
        (with_line(unit_price="2.55"), ("lines.0.unit_price", "float_type")),
        (with_line(description="x" * 201), ("lines.0.description", "string_too_long")),
        (with_line(colour="red"), ("lines.0.colour", "extra_forbidden")),
        (order(customer={"email": 7}), ("customer.email", "string_type")),
        (order(customer=None, lines=[{**SOLD, "unit_price": 0}]), ("", "no_order")),
    ],
)
def test_what_can_not_be_right_is_refused_with_its_field(document: dict[str, Any], fault: tuple[str, str]) -> None:
    assert faults(document) == [fault]


def test_every_field_of_a_record_but_the_note_must_be_there() -> None:
    assert sorted(field for field, _ in faults_of_record({})) == sorted(Record.model_fields.keys() - {"note"})


def faults_of_record(document: Any) -> list[tuple[str, str]]:
    with pytest.raises(ValidationError) as caught:
        Record.model_validate_json(line(document))
    return [(str(one["loc"][0]), one["type"]) for one in caught.value.errors()]


def test_a_request_may_leave_out_who_ordered() -> None:
    document = {name: value for name, value in order().items() if name not in ("customer", "note")}
    assert Request.model_validate_json(line(document)).customer is None
    assert faults_of_record(document) == [("customer", "missing")]


def test_the_future_begins_at_the_moment_that_the_caller_names() -> None:
    context = {"now": datetime(2010, 12, 1, 8, 26, tzinfo=UTC)}
    Record.model_validate_json(line(order(time="2010-12-01T08:26:00Z")), context=context)
    with pytest.raises(ValidationError, match="in the future"):
        Record.model_validate_json(line(order(time="2010-12-01T08:26:01Z")), context=context)


@pytest.mark.parametrize(
    "document",
    [
        order(order_id="ada@example.com"),
        order(customer={"email": ["ada@example.com"]}),
        order(country="ada@example.com"),
        with_line(stock_code="ada@example.com"),
        located(postal_code="ada@example.com"),
    ],
)
def test_an_error_never_quotes_the_value(document: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        Record.model_validate_json(line(document))
    assert "ada@example.com" not in str(caught.value)


@given(ORDERS)
def test_every_record_is_a_request_too_and_says_its_id_and_time(document: dict[str, Any]) -> None:
    record = Record.model_validate_json(line(document))
    request = Request.model_validate_json(line(document))
    assert request.model_dump() == record.model_dump()
    assert record_id(record) == document["order_id"]
    assert record_time(record) == datetime.fromisoformat(document["time"])


def test_every_order_of_the_shipped_batches_is_valid_but_for_stock_corrections(checkout: Path) -> None:
    reasons = set()
    for batch in (checkout / "data" / "orders").glob("batch-*.ndjson"):
        for document in map(json.loads, batch.read_bytes().splitlines()):
            reasons |= set(faults(document))
    assert reasons == {("", "no_order")}


def test_masked_orders_hold_tokens_and_refuse_what_was_not_masked() -> None:
    masked = order()
    del masked["customer"]["name"]
    with pytest.raises(ValidationError) as caught:
        Masked.model_validate_json(json.dumps(masked))
    unmasked = {"id", "email", "phone", "street", "city", "postal_code"}
    assert {str(one["loc"][-1]) for one in caught.value.errors()} == unmasked
