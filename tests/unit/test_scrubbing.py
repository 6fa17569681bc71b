"""What masking does to one value: tokens, areas, and free text."""

from __future__ import annotations

import hmac
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentos.common.scrubbing import area, is_suspicious, scrub, tokens

KEY = b"k" * 32


@given(key=st.binary(min_size=1, max_size=200), value=st.text(max_size=80))
def test_a_token_is_hmac_sha256_as_the_standard_library_computes_it(key: bytes, value: str) -> None:
    expected = hmac.digest(key, f"customer:{value.strip()}".encode(), "sha256").hex()[:32]
    assert tokens(key, "customer")(value) == f"customer:{expected}"


@pytest.mark.parametrize(
    ("label", "one", "other"),
    [
        ("email", "Ada@Example.com", " ada@example.COM "),
        ("phone", "+44 7700 900123", "0044 (7700) 900-123"),
        ("phone", "+44 7700 900123", "+44 7700 \uff19\uff10\uff10123"),  # fullwidth digits are digits
    ],
)
def test_one_person_written_two_ways_has_one_token(label: str, one: str, other: str) -> None:
    assert tokens(KEY, label)(one) == tokens(KEY, label)(other)


def test_tokens_differ_by_key_by_label_and_by_value() -> None:
    made = {
        tokens(KEY, "phone")("12345"),
        tokens(KEY, "customer")("12345"),
        tokens(KEY, "phone")("12346"),
        tokens(b"l" * 32, "phone")("12345"),
    }
    assert len({token.split(":")[1] for token in made}) == 4


@pytest.mark.parametrize(
    ("postal_code", "expected"),
    [
        ("SW1A 1AA", "SW1A"),
        ("sw1a1aa", "SW1A"),
        (" M1 1AE ", "M1"),
        ("75008", "75"),
        ("D02 AF30", "D02"),
        ("1010 AB", "101"),
        ("AB", "A"),
        ("7", ""),
    ],
)
def test_an_area_is_the_outward_code_or_less_than_half_a_code(postal_code: str, expected: str) -> None:
    assert area(postal_code) == expected


@given(st.text(max_size=40))
def test_an_area_never_holds_the_whole_of_a_code(postal_code: str) -> None:
    compact = "".join(filter(str.isalnum, postal_code.strip().upper()))
    assert len(area(postal_code)) <= max(0, len(compact) - 1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Send to ada.b+c@example.com.", "Send to [email]"),
        ("Ada <ada@example.com>, Bob <bob@example.org>", "Ada <[email]>, Bob <[email]>"),
        ("mail ada@localhost", "mail [email]"),
        ("Ring +44 7700 900123 first", "Ring [phone] first"),
        ("Ring 07700900123.", "Ring [phone]."),
        ("(020) 7946 0958", "[phone]"),
        ("call 202-555-0123 now", "call [phone] now"),
        ("+1 202-555-0197", "[phone]"),
        ("tel07700900123x", "tel[phone]x"),
        ("Charge 4111 1111 1111 1111 today", "Charge [card] today"),
        ("5555-5555-5555-4444", "[card]"),
        ("4111/1111/1111/1111", "[card]"),
        ("4111_1111_1111_1111", "[card]"),
        ("1/12/2010 4111/1111/1111/1111", "1/12/2010 [card]"),
        ("7700/913/577", "[phone]"),
        ("7700 913577", "[phone]"),
        ("07700_913_577", "[phone]"),
        ("07/12/34/56/78", "[phone]"),
        ("01.12.2010 07700 900123", "01.12.2010 [phone]"),
        ("Order 536365 07700 900123", "Order 536365 [phone]"),
        ("378282246310005", "[card]"),
        ("4111 1111 1111 1111 07", "[card] 07"),
        ("4111 1111 1111 1111 07700 900123", "[card] [phone]"),
        ("card \uff14" + "\uff11" * 15, "card [card]"),
    ],
)
def test_addresses_and_numbers_are_taken_out_of_text(text: str, expected: str) -> None:
    assert scrub(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "WHITE HANGING HEART T-LIGHT HOLDER",
        "POLYESTER FILLER PAD 45x45cm",
        "SET OF 6 CUPS 85123A 84029",
        "FOLK ART GREETING CARD,pack/12",
        "BOX OF 24 COCKTAIL PARASOLS 1.25 2.55",
        "invoice 536365 of 2010-12-01 08:26",
        "due 1/12/2010 or 01/12/2010 or 01.12.2010",
        "pack 10/12/14, rolls 100/120/140",
        "codes 84029 71053 22139",
        "4111 1111 1111 1112",  # fails the Luhn check
        "café 3 pièces",
        "",
    ],
)
def test_stock_codes_sizes_dates_and_numbers_that_are_no_cards_stay(text: str) -> None:
    assert scrub(text) == text


def test_no_description_that_the_shop_really_wrote_is_changed(checkout: Path) -> None:
    texts = {
        line["description"] or ""
        for batch in (checkout / "data" / "orders").glob("*.ndjson")
        for order in map(json.loads, batch.read_bytes().splitlines())
        for line in order["lines"]
    }
    assert len(texts) > 1_000
    assert [text for text in texts if scrub(text) != text] == []


@given(st.lists(st.text(max_size=40) | st.from_regex(r"[0-9 ./_()+-]{5,25}", fullmatch=True), max_size=5))
def test_text_that_is_not_suspicious_is_never_changed_alone_or_with_others(texts: list[str]) -> None:
    if not is_suspicious(";".join(texts)):
        for text in texts:
            assert not is_suspicious(text)
            assert scrub(text) == text


@given(st.text(max_size=20), st.sampled_from(["ada@example.com", "+44 7700 900123", "4111111111111111"]), st.text())
def test_what_is_personal_is_found_between_any_two_texts(before: str, personal: str, after: str) -> None:
    assert personal not in scrub(f"{before} {personal} {after}")


@given(st.text(max_size=60))
def test_scrubbing_twice_changes_nothing_more(text: str) -> None:
    assert scrub(scrub(text)) == scrub(text)
