"""Masking by the marks in the types, and the key of its tokens."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import pytest
from hypothesis import given
from pydantic import BaseModel, ConfigDict, ValidationError

from bakehouse.errors import ConfigurationError
from bentos.common.masking import PII, masker, masking_key
from bentos.orders.contract import Masked, Record
from tests.order_documents import ORDERS, line, order

KEY = b"k" * 32


def masked(document: dict[str, Any]) -> dict[str, Any]:
    return masker(Record, KEY)(Record.model_validate_json(line(document)))


def test_names_and_addresses_go_contacts_become_tokens_and_the_area_stays() -> None:
    customer = masked(order())["customer"]
    assert customer.keys() == {"id", "email", "phone", "address"}
    assert customer["email"].startswith("email:")
    assert customer["phone"].startswith("phone:")
    assert customer["id"].startswith("customer:")
    assert customer["address"] == {"postal_code": "SW1A", "country": "United Kingdom"}


def test_free_text_is_scrubbed_wherever_it_stands() -> None:
    lines = [
        {"stock_code": "22139", "description": "FOR ada@example.com", "quantity": 1, "unit_price": 1.0},
        {"stock_code": "22140", "description": "PLATE 20cm", "quantity": 1, "unit_price": 1.0},
    ]
    document = masked(order(note="Ring +44 7700 900123", lines=lines))
    assert document["note"] == "Ring [phone]"
    assert [line["description"] for line in document["lines"]] == ["FOR [email]", "PLATE 20cm"]


def test_a_text_that_was_clean_once_is_scrubbed_when_it_comes_back_dirty() -> None:
    mask = masker(Record, KEY)
    clean, dirty = "PLATE", "PLATE ada@example.com"
    for description, expected in ((clean, clean), (dirty, "PLATE [email]"), (clean, clean), (dirty, "PLATE [email]")):
        lines = [{"stock_code": "22139", "description": description, "quantity": 1, "unit_price": 1.0}]
        record = Record.model_validate_json(line(order(lines=lines)))
        assert mask(record)["lines"][0]["description"] == expected


@given(ORDERS)
def test_all_but_the_marked_fields_is_what_it_was_and_nothing_appears(document: dict[str, Any]) -> None:
    after = masked(document)
    assert after.keys() == document.keys()
    for name in ("order_id", "country", "currency"):
        assert after[name] == document[name]
    assert datetime.fromisoformat(after["time"]) == datetime.fromisoformat(document["time"])
    for raw, kept in zip(document["lines"], after["lines"], strict=True):
        assert {**raw, "description": None} == {**kept, "description": None}
    kept_of_customer = document["customer"].keys() - {"name"}
    assert after["customer"].keys() == kept_of_customer


@given(ORDERS)
def test_a_masked_order_is_what_the_rest_of_the_pipeline_reads(document: dict[str, Any]) -> None:
    Masked.model_validate_json(json.dumps(masked(document)))


def test_the_masked_type_has_the_fields_that_the_marks_of_the_record_leave() -> None:
    with_every_field = masked(order(note="Gift wrap."))
    assert names_in(with_every_field) == fields_of(Masked)


def names_in(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: names_in(inner) for name, inner in value.items()}
    return names_in(value[0]) if isinstance(value, list) else None


def fields_of(model: type[BaseModel]) -> dict[str, Any]:
    found = {}
    for name, field in model.model_fields.items():
        arguments = [field.annotation, *getattr(field.annotation, "__args__", ())]
        inner = [part for part in arguments if isinstance(part, type) and issubclass(part, BaseModel)]
        found[name] = fields_of(inner[0]) if inner else None
    return found


def test_a_mark_inside_a_union_counts_as_much_as_one_around_it() -> None:
    class Guest(BaseModel):
        name: Annotated[str, PII("drop")] | None
        room: int

    assert masker(Guest, KEY)(Guest(name="Ada", room=3)) == {"room": 3}


def test_a_record_without_marks_is_left_as_it_is() -> None:
    class Price(BaseModel):
        at: datetime
        pence: int

    at = datetime(2020, 1, 1, tzinfo=UTC)
    assert masker(Price, KEY)(Price(at=at, pence=3)) == {"at": "2020-01-01T00:00:00Z", "pence": 3}


class Address(BaseModel):
    street: Annotated[str, PII("drop")]


class ByName(BaseModel):
    addresses: dict[str, Address]


class EitherOr(BaseModel):
    address: Address | int | str


class Number(BaseModel):
    phone: Annotated[int, PII("hash", "phone")]


@pytest.mark.parametrize("model", [ByName, EitherOr, Number])
def test_a_mark_that_masking_can_not_reach_stops_the_program_not_the_record(model: type[BaseModel]) -> None:
    with pytest.raises(TypeError, match=model.__name__):
        masker(model, KEY)


class Card(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")
    holder: Annotated[str, PII("drop")]
    email: Annotated[str, PII("hash", "email")]
    remark: Annotated[str, PII("scrub")]
    limit: int
    tags: list[str]


class Wallet(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")
    owner: str
    cards: list[Card]


def refused(document: Any) -> Any:
    try:
        Wallet.model_validate_json(json.dumps(document))
    except ValidationError as error:
        return masker(Wallet, KEY).mask_refused(document, [fault["loc"] for fault in error.errors()])
    raise AssertionError("the document is valid")


def test_a_refused_record_keeps_what_is_fine_and_masks_it() -> None:
    card = {"holder": "Ada", "email": "ada@example.com", "remark": "ask ada@example.com", "limit": "x", "tags": []}
    kept = refused({"owner": "till 3", "cards": [card]})
    assert kept["owner"] == "till 3"
    assert kept["cards"][0]["remark"] == "ask [email]"
    assert kept["cards"][0]["email"].startswith("email:")
    assert kept["cards"][0]["limit"] == "(text, 1 characters)"
    assert "holder" not in kept["cards"][0]


SECRET = "ada@example.com"


@pytest.mark.parametrize(
    "document",
    [
        {SECRET: 1, "owner": "x", "cards": []},
        {"owner": {"name": SECRET}, "cards": []},
        {"owner": [SECRET], "cards": SECRET},
        {"owner": "x", "cards": [SECRET]},
        {"owner": "x", "cards": [{"email": [SECRET], "remark": {SECRET: 1}, "limit": SECRET, "tags": [SECRET, 7]}]},
        {"owner": "x", "cards": [{"email": SECRET, "remark": SECRET, "limit": 1, "tags": [], "more": SECRET}]},
        SECRET,
        [SECRET],
    ],
)
def test_nothing_personal_of_a_refused_record_is_kept_wherever_it_stands(document: Any) -> None:
    assert SECRET not in json.dumps(refused(document))


def test_the_key_of_the_environment_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch, state: Path) -> None:
    monkeypatch.setenv("BAKEHOUSE_MASKING_KEY", "x" * 32)
    assert masking_key() == b"x" * 32
    assert not (state / "masking.key").exists()


def test_a_short_key_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAKEHOUSE_MASKING_KEY", "x" * 31)
    with pytest.raises(ConfigurationError, match="31 characters"):
        masking_key()


def test_a_generated_key_stays_and_only_its_owner_reads_it(state: Path) -> None:
    key = masking_key()
    assert len(key) >= 32
    assert masking_key() == key
    assert (state / "masking.key").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in state.iterdir()] == ["masking.key"]


def test_an_emptied_key_file_is_an_error_and_not_an_empty_key(state: Path) -> None:
    masking_key()
    (state / "masking.key").write_text("")
    with pytest.raises(ConfigurationError, match="holds no masking key"):
        masking_key()


def test_processes_that_need_the_first_key_at_once_agree_on_one(checkout: Path) -> None:
    program = "from bentos.common.masking import masking_key; print(masking_key().decode())"
    started = [
        subprocess.Popen([sys.executable, "-c", program], cwd=checkout, stdout=subprocess.PIPE, env=os.environ)
        for _ in range(4)
    ]
    keys = {process.communicate(timeout=60)[0] for process in started}
    assert len(keys) == 1
    assert len(keys.pop().strip()) >= 32
