"""Raw order documents for tests: one that is valid, and a hypothesis strategy for every valid one."""

from __future__ import annotations

import copy
import json
from datetime import datetime
from typing import Any

from hypothesis import strategies as st

from bentos.orders.contract import EXAMPLE

NAMES = st.text(min_size=1, max_size=30)


def order(**changes: Any) -> dict[str, Any]:
    """The contract's own example, with fields replaced."""
    return {**copy.deepcopy(EXAMPLE), **changes}


def line(document: Any) -> bytes:
    """The document as one line of NDJSON."""
    return json.dumps(document).encode() + b"\n"


LINES = st.fixed_dictionaries(
    {
        "stock_code": st.from_regex(r"[0-9]{5}[A-Za-z]{0,2}", fullmatch=True)
        | st.sampled_from(["POST", "BANK CHARGES"]),
        "description": st.none() | NAMES,
        "quantity": st.integers(-1_000_000, 1_000_000).filter(bool),
        "unit_price": st.floats(0, 1_000_000) | st.integers(0, 1_000_000),
    }
)
CUSTOMERS = st.fixed_dictionaries(
    {},
    optional={
        "id": NAMES,
        "name": st.none() | NAMES,
        "email": NAMES,
        "phone": st.from_regex(r"\+44 7700 900[0-9]{3}", fullmatch=True),
        "address": st.none()
        | st.fixed_dictionaries(
            {},
            optional={
                "street": NAMES,
                "city": NAMES,
                "postal_code": st.from_regex(r"[A-Z]{1,2}[0-9]{1,2} [0-9][A-Z]{2}|[0-9]{4,6}", fullmatch=True),
                "country": st.just("Germany"),
            },
        ),
    },
)
ORDERS = st.fixed_dictionaries(
    {
        "order_id": st.from_regex(r"[AC]?[0-9]{6,7}", fullmatch=True),
        "time": st.datetimes(
            min_value=datetime(2000, 1, 2),  # noqa: DTZ001  the strategy adds the zone
            max_value=datetime(2020, 1, 1),  # noqa: DTZ001
        ).map(lambda time: time.isoformat() + "Z"),
        "customer": CUSTOMERS,
        "country": st.sampled_from(["United Kingdom", "EIRE", "Germany"]),
        "currency": st.just("GBP"),
        "lines": st.lists(LINES, min_size=1, max_size=12),
    },
    optional={"note": st.none() | NAMES},
)
