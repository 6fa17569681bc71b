"""What must hold of the accepted, masked orders as a whole: the Great Expectations suite, and the table it looks at.

One record at a time is the contract's business; here stands what only many of them show: shares, ranges and repeats.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bentos.common import ndjson
from bentos.common.expectations import because
from bentos.orders.contract import COUNTRIES, Masked

if TYPE_CHECKING:
    import pandas as pd
    from great_expectations import ExpectationSuite


def suite() -> ExpectationSuite:
    """The expectations, each with the reason for it in `meta.why`."""
    import great_expectations.expectations as gxe
    from great_expectations import ExpectationSuite

    return ExpectationSuite(
        name="orders",
        expectations=[
            gxe.ExpectTableRowCountToBeBetween(
                min_value=50, **because("Fewer orders leave too few held-out ones to judge a model by.")
            ),
            gxe.ExpectColumnValuesToBeUnique(column="order_id", **because("An order that stands twice counts twice.")),
            gxe.ExpectColumnValuesToBeInSet(
                column="country", value_set=list(COUNTRIES), **because("A new spelling is a new import, or a fault.")
            ),
            gxe.ExpectColumnValuesToBeInSet(
                column="currency", value_set=["GBP"], **because("Prices of several currencies can't be compared.")
            ),
            gxe.ExpectColumnValuesToBeBetween(
                column="hour", min_value=6, max_value=21, mostly=0.99, **because("The shop writes orders by day.")
            ),
            gxe.ExpectColumnValuesToBeBetween(
                column="total",
                min_value=-20_000,
                max_value=50_000,
                mostly=0.999,
                **because("Larger is a typing fault."),
            ),
            gxe.ExpectColumnMedianToBeBetween(
                column="total", min_value=100, max_value=600, **because("Pounds, not pence and not thousands.")
            ),
            gxe.ExpectColumnMeanToBeBetween(
                column="is_cancellation", min_value=0.02, max_value=0.25, **because("Cancellations come with orders.")
            ),
            gxe.ExpectColumnMeanToBeBetween(
                column="sign_is_wrong",
                max_value=0.02,
                **because("Many wrong signs are a broken import, not odd orders."),
            ),
            gxe.ExpectColumnMeanToBeBetween(
                column="lines", min_value=5, max_value=60, **because("Orders cut short, or glued together, move it.")
            ),
            gxe.ExpectColumnValuesToNotBeNull(
                column="customer", mostly=0.80, **because("Some sales have no customer; most have one.")
            ),
            gxe.ExpectColumnValuesToMatchRegex(
                column="customer", regex=r"^customer:[0-9a-f]{32}$", **because("Customers are tokens behind masking.")
            ),
            gxe.ExpectColumnMeanToBeBetween(
                column="free_share", max_value=0.05, **because("Prices of zero are rare among orders.")
            ),
        ],
    )


def frame(masked: Path) -> pd.DataFrame:
    """One row an order: its totals and shares, without anything that masking left of the customer but the token."""
    import pandas as pd

    return pd.DataFrame([_row(order) for order in ndjson.read(masked, Masked)])


def _row(order: Masked) -> dict[str, Any]:
    cancelled = order.order_id.startswith("C")
    signs = [(line.quantity < 0) != cancelled for line in order.lines]
    return {
        "order_id": order.order_id,
        "time": order.time,
        "hour": order.time.hour + order.time.minute / 60,
        "country": order.country,
        "currency": order.currency,
        "customer": order.customer.id if order.customer else None,
        "is_cancellation": float(cancelled),
        "lines": len(order.lines),
        "total": sum(line.quantity * line.unit_price for line in order.lines),
        "free_share": sum(line.unit_price == 0 for line in order.lines) / len(order.lines),
        "sign_is_wrong": float(any(signs)),
    }
