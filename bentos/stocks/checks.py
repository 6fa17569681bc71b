"""What must hold of the accepted windows as a whole: the Great Expectations suite, and the table it looks at.

One window at a time is the contract's business; here stands what only many of them show: shares, jumps, contradictions.
"""

from __future__ import annotations

import math
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bentos.common import ndjson
from bentos.common.expectations import because
from bentos.stocks.contract import Day, Masked

if TYPE_CHECKING:
    import pandas as pd
    from great_expectations import ExpectationSuite


def suite() -> ExpectationSuite:
    """The expectations, each with the reason for it in `meta.why`."""
    import great_expectations.expectations as gxe
    from great_expectations import ExpectationSuite

    return ExpectationSuite(
        name="stocks",
        expectations=[
            gxe.ExpectTableRowCountToBeBetween(
                min_value=250, **because("A year of trading. Fewer leave less than 75 days to judge a model by.")
            ),
            gxe.ExpectColumnUniqueValueCountToBeBetween(
                column="symbol", max_value=1, **because("A model is of one share; two would share the test's days.")
            ),
            gxe.ExpectColumnValuesToBeUnique(column="after", **because("A day that stands twice counts twice.")),
            gxe.ExpectColumnMeanToBeBetween(
                column="agrees",
                min_value=1.0,
                **because(
                    "Two windows that tell the same day differently: prices were corrected, adjusted or mixed up."
                ),
            ),
            gxe.ExpectColumnValuesToBeBetween(
                column="change",
                min_value=-0.25,
                max_value=0.25,
                **because("A larger change in a day is a share split that the prices were not cleared of, or a fault."),
            ),
            gxe.ExpectColumnMeanToBeBetween(
                column="is_up",
                min_value=0.35,
                max_value=0.65,
                **because("Shares close higher on about half of all days; a lopsided batch is a broken join."),
            ),
            gxe.ExpectColumnMeanToBeBetween(
                column="is_unchanged", max_value=0.05, **because("Prices that repeat are a feed that stood still.")
            ),
        ],
    )


def frame(masked: Path) -> pd.DataFrame:
    """One row a window: the day it ends on, what came next, and whether it tells its days as other windows do."""
    import pandas as pd

    told: dict[tuple[str, date], Day] = {}
    return pd.DataFrame([_row(record, told) for record in ndjson.read(masked, Masked)])


def _row(record: Masked, told: dict[tuple[str, date], Day]) -> dict[str, Any]:
    last = record.window[-1]
    change = math.log(record.next.close / last.close)
    return {
        "symbol": record.symbol,
        "after": last.day.isoformat(),
        "close": last.close,
        "volume": float(last.volume),
        "change": change,
        "is_up": float(change > 0),
        "is_unchanged": float(change == 0),
        "agrees": float(all(told.setdefault((record.symbol, day.day), day) == day for day in record.window)),
    }
