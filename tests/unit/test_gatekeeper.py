"""The gatekeeper: what it lets in, what it keeps out and why, and that nothing personal gets past it either way."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bentos.common import gatekeeper
from bentos.common.gatekeeper import AcceptanceReport, Contract, admit
from bentos.common.judging import MOST_REASONS
from bentos.common.masking import masker
from bentos.common.raw_lines import LONGEST
from bentos.orders import contract
from tests.order_documents import ORDERS, line, order

KEY = b"k" * 32
NOW = datetime(2020, 6, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Outcome:
    report: AcceptanceReport
    accepted: list[dict[str, Any]]
    quarantined: list[dict[str, Any]]
    written: bytes

    @property
    def reasons(self) -> list[tuple[int, str, str]]:
        return [(one["line"], why["field"], why["reason"]) for one in self.quarantined for why in one["reasons"]]


def admitted(raw: bytes) -> Outcome:
    accepted, quarantine = io.BytesIO(), io.BytesIO()
    report = admit(io.BytesIO(raw), cast(Contract, contract), KEY, accepted, quarantine, NOW)
    written = accepted.getvalue() + quarantine.getvalue()
    let_in, kept_out = ([json.loads(one) for one in file.getvalue().splitlines()] for file in (accepted, quarantine))
    assert report.documents == report.accepted + report.rejected
    assert (report.accepted, report.rejected) == (len(let_in), len(kept_out))
    return Outcome(report, let_in, kept_out, written)


def order_with_id(number: int) -> bytes:
    return line(order(order_id=str(number)))


GOOD = order_with_id(100_000)


@pytest.mark.parametrize(
    ("bad", "field", "reason"),
    [
        (b'{"order_id": "536365"\n', "(document)", "Not JSON: EOF while parsing an object"),
        (b"order 536365\n", "(document)", "Not JSON: expected value"),
        (GOOD.strip() + b" trailing\n", "(document)", "Not JSON: trailing characters"),
        (b"[" * 5_000 + b"\n", "(document)", "Not JSON: recursion limit exceeded"),
        (b"\n", "(document)", "Blank line"),
        (b" \t\r\n", "(document)", "Blank line"),
        (b"\xef\xbb\xbf" + GOOD, "(document)", "Opens with a byte-order mark; UTF-8 needs none"),
        ('{"note": "café"}\n'.encode("latin-1"), "(document)", "Not in UTF-8 (perhaps Latin-1)"),
        (b'{"note": "\0"}\n', "(document)", "Holds NUL bytes, so it is no text in UTF-8 (perhaps UTF-16)"),
        (b'{"note": "' + b"x" * 10_000_000 + b'"}\n', "(document)", f"Longer than {LONGEST} bytes"),
        (b'"order"\n', "(document)", "Input should be an object"),
        (GOOD.replace(b'"currency"', b'"currency": "EUR", "currency"'), "currency", "Name stands twice"),
        (GOOD.replace(b"2.55", b"NaN"), "lines.0.unit_price", "Input should be a finite number"),
        (GOOD.replace(b"2.55", b"-Infinity"), "lines.0.unit_price", "Input should be a finite number"),
        (GOOD.replace(b"2.55", b"1e999"), "lines.0.unit_price", "Input should be a finite number"),
        (GOOD.replace(b"2.55", b'"2.55"'), "lines.0.unit_price", "Input should be a valid number"),
        (line(order(time="2020-06-01T00:00:01Z")), "time", "must not be in the future"),
        (line(order(time="2010-12-01T08:26:00")), "time", "Input should have timezone info"),
        (line(order(extra=1)), "(unknown name)", "Extra inputs are not permitted"),
        (line(order(customer=None, lines=[{**order()["lines"][0], "unit_price": 0}])), "(document)", None),
    ],
)
def test_a_bad_line_is_kept_out_with_its_number_field_and_reason_and_the_run_goes_on(
    bad: bytes, field: str, reason: str | None
) -> None:
    outcome = admitted(order_with_id(100_001) + bad + order_with_id(100_002))
    assert [one["order_id"] for one in outcome.accepted] == ["100001", "100002"]
    (one,) = outcome.quarantined
    assert one["line"] == 2
    assert one["bytes"] == len(bad)
    assert one["reasons"][0]["field"] == field
    if reason is not None:
        assert one["reasons"][0]["reason"] == reason
    assert outcome.report.reasons[0].first_line == 2


def test_a_record_with_an_id_that_came_before_is_kept_out_masked() -> None:
    outcome = admitted(GOOD + order_with_id(100_001) + GOOD + GOOD)
    assert outcome.report.duplicates == 2
    assert outcome.reasons == [
        (3, "(document)", "An earlier line has the same id"),
        (4, "(document)", "An earlier line has the same id"),
    ]
    assert outcome.quarantined[0]["record"] == outcome.accepted[0]


def test_the_id_of_a_refused_record_is_free() -> None:
    refused = line(order(order_id="100000", currency="pounds"))
    assert admitted(refused + GOOD).report.accepted == 1


@settings(max_examples=30)
@given(
    numbers=st.lists(st.integers(0, 40), max_size=60), batch=st.sampled_from([1, 700, 5_000]), recent=st.integers(0, 9)
)
def test_duplicates_are_found_across_batches_and_after_ids_have_settled(
    numbers: list[int], batch: int, recent: int
) -> None:
    raw = b"".join(order_with_id(100_000 + number) for number in numbers)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gatekeeper, "BATCH_BYTES", batch)
        patch.setattr(gatekeeper._Seen, "MOST_RECENT", recent)
        outcome = admitted(raw)
    assert [int(one["order_id"]) - 100_000 for one in outcome.accepted] == list(dict.fromkeys(numbers))
    assert [one["line"] for one in outcome.quarantined] == [
        place + 1 for place, number in enumerate(numbers) if number in numbers[:place]
    ]


JUNK = st.binary(max_size=60).map(lambda raw: raw.replace(b"\n", b"") + b"\n")


@given(documents=st.lists(ORDERS | JUNK, max_size=12), ends=st.sampled_from([b"\n", b"\r\n"]), data=st.data())
def test_no_valid_record_is_lost_or_changed_whatever_stands_around_it(
    documents: list[dict[str, Any] | bytes], ends: bytes, data: st.DataObject
) -> None:
    numbered = [
        document if isinstance(document, bytes) else {**document, "order_id": str(100_000 + place)}
        for place, document in enumerate(documents)
    ]
    raw = b"".join(one if isinstance(one, bytes) else line(one).rstrip() + ends for one in numbered)
    if numbered and isinstance(numbered[-1], dict) and data.draw(st.booleans()):
        raw = raw.removesuffix(ends)
    outcome = admitted(raw)
    mask = masker(contract.Record, KEY)
    valid = [contract.Record.model_validate_json(line(one)) for one in numbered if isinstance(one, dict)]
    assert outcome.accepted == [json.loads(json.dumps(mask(record))) for record in valid]
    assert [one["line"] for one in outcome.quarantined] == [
        place + 1 for place, one in enumerate(numbered) if isinstance(one, bytes)
    ]


@pytest.mark.parametrize("length", [LONGEST - 1, LONGEST])
@pytest.mark.parametrize("end", [b"\n", b""])
def test_a_line_of_just_the_limit_is_read(length: int, end: bytes) -> None:
    raw = GOOD.strip()
    raw += b" " * (length - len(raw) - len(end)) + end
    assert len(raw) == length
    assert admitted(raw).report.accepted == 1


def test_a_line_one_byte_over_the_limit_is_not() -> None:
    outcome = admitted(GOOD.strip() + b" " * (LONGEST - len(GOOD) + 1) + b"\n" + order_with_id(100_001))
    assert [one["order_id"] for one in outcome.accepted] == ["100001"]


def test_an_empty_file_says_so_and_has_an_acceptance_rate_that_passes_no_gate() -> None:
    report = admitted(b"").report
    assert report.documents == 0
    assert report.acceptance_rate == 0
    assert [(reason.field, reason.reason) for reason in report.reasons] == [("(file)", "Empty file")]


def test_a_file_in_utf_16_is_kept_out_line_by_line() -> None:
    outcome = admitted((GOOD + order_with_id(100_001)).decode().encode("utf-16"))
    assert outcome.report.accepted == 0
    assert all("UTF-16" in reason for _, _, reason in outcome.reasons)


def test_a_line_that_can_not_be_masked_leaves_its_length_and_a_keyed_digest() -> None:
    (one,) = admitted(b'{"customer": {"name": "Ada\n').quarantined
    assert one.keys() == {"line", "bytes", "reasons", "digest"}
    (same,) = admitted(b'{"customer": {"name": "Ada\n').quarantined
    (other,) = admitted(b'{"customer": {"name": "Bob\n').quarantined
    assert one["digest"] == same["digest"] != other["digest"]


PERSONAL = ("ada.lovelace@example.com", "+44 7700 900123", "4111 1111 1111 1111", "Lovelace", "12 Canary Street")


def spoilt() -> list[bytes]:
    """Documents full of personal data, each refused for another reason, and one that is valid."""
    address = {"street": PERSONAL[4], "city": PERSONAL[3], "postal_code": "SW1A 1AA"}
    customer = {"id": "17850", "name": PERSONAL[3], "email": PERSONAL[0], "phone": PERSONAL[1], "address": address}
    good = order(customer=customer, note=" ".join(PERSONAL[:3]))
    sold = {"stock_code": "22139", "description": "FOR " + PERSONAL[0], "quantity": 1, "unit_price": 1}
    return [
        line({**good, "lines": [sold]}),
        line({**good, "lines": [sold]}),
        line({**good, "order_id": PERSONAL[0]}),
        line({**good, "order_id": "100003", PERSONAL[0]: 1}),
        line({**good, "order_id": "100004", "country": PERSONAL[0]}),
        line({**good, "order_id": "100005", "customer": {**customer, "surname": PERSONAL[3]}}),
        line({**good, "order_id": "100006", "customer": [customer]}),
        line({**good, "order_id": "100007", "customer": {**customer, "phone": [PERSONAL[1]]}}),
        line({**good, "order_id": "100008", "lines": [{**sold, "stock_code": PERSONAL[0]}]}),
        line({**good, "order_id": "100009", "lines": PERSONAL[0]}),
        line({**good, "order_id": "100010", "time": PERSONAL[0]}),
        line({**good, "order_id": "100011", "time": "2031-01-01T00:00:00Z"}),
        line({**good, "order_id": "100012"}).replace(b'"name":', b'"name": "Lovelace", "name":'),
        line(PERSONAL[0]),
        line(list(PERSONAL)),
        line(good)[:-20] + b"\n",
        line(good).decode().encode("utf-16"),
        line({**good, "note": PERSONAL[0] * 100_000}),
    ]


def test_nothing_personal_is_written_of_accepted_or_of_refused_documents() -> None:
    outcome = admitted(b"".join(spoilt()))
    assert outcome.report.accepted == 1
    everything = outcome.written + outcome.report.model_dump_json().encode()
    assert [text for text in PERSONAL if text.encode() in everything] == []


def test_the_report_counts_documents_by_reason_with_the_first_line_and_no_list_places() -> None:
    wrong = [{**order()["lines"][0], "quantity": "six"}] * 3
    raw = GOOD + line(order(order_id="100001", lines=wrong)) + line(order(order_id="100002", lines=wrong[:1]))
    report = admitted(raw).report
    (reason,) = report.reasons
    assert (reason.field, reason.documents, reason.first_line) == ("lines[].quantity", 2, 2)
    assert report.acceptance_rate == pytest.approx(1 / 3)


def test_a_document_with_a_thousand_faults_does_not_flood_the_quarantine() -> None:
    lines = [{**order()["lines"][0], "quantity": "six"}] * 1_000
    (one,) = admitted(line(order(lines=lines))).quarantined
    assert len(one["reasons"]) == MOST_REASONS
    assert one["more_reasons"] == 1_000 - MOST_REASONS


def test_the_report_says_the_earliest_and_the_latest_time_of_what_was_accepted() -> None:
    times = [NOW - timedelta(days=days) for days in (5, 9, 2)] + [NOW + timedelta(days=1)]
    documents = [order(order_id=str(100_000 + place), time=time.isoformat()) for place, time in enumerate(times)]
    report = admitted(b"".join(map(line, documents))).report
    assert (report.earliest, report.latest) == (NOW - timedelta(days=9), NOW - timedelta(days=2))


def test_the_report_survives_json() -> None:
    report = admitted(b"".join(spoilt())).report
    assert AcceptanceReport.model_validate_json(report.model_dump_json()) == report


def test_the_shipped_batches_are_accepted_as_the_data_readme_says(checkout: Any) -> None:
    rates = [
        admitted((checkout / "data" / "orders" / f"batch-{number}.ndjson").read_bytes()).report for number in (1, 2, 3)
    ]
    assert [(report.accepted, report.documents) for report in rates] == [(298, 310), (75, 108), (94, 94)]
    assert all("it is no order" in reason.reason for report in rates for reason in report.reasons)
