"""Make data/stocks/batch-1.ndjson and batch-2.ndjson from Apple's prices of 2015 to 2017.

    python -m tools.derive_stocks FILE

FILE is `apple-stock-2015-2017.csv`. The same file gives the same bytes again.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bakehouse import workspace
from bentos.stocks.contract import WINDOW

SYMBOL = "AAPL"
FIRST_BATCH = 300
"""How many questions make the first batch; the second has the later ones."""


def main() -> int:
    """Write both batches."""
    parser = argparse.ArgumentParser(prog="python -m tools.derive_stocks", description="Make the stocks batches.")
    parser.add_argument("file", type=Path, help="the prices, as CSV")
    parser.add_argument("--to", type=Path, default=workspace.root() / "data" / "stocks", help="where to write")
    given = parser.parse_args()
    given.to.mkdir(parents=True, exist_ok=True)
    made = list(questions(list(days(given.file)), SYMBOL))
    for number, batch in enumerate((made[:FIRST_BATCH], made[FIRST_BATCH:]), start=1):
        write(given.to / f"batch-{number}.ndjson", batch)
        print(f"batch-{number}.ndjson: {len(batch)} questions")
    return 0


def days(file: Path) -> Iterator[dict[str, Any]]:
    """The trading days of the file. The adjusted close stays behind, for it knows of dividends that were paid later;
    so do the columns that are made of other days (dn, mavg, up, direction)."""
    with file.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            prices = {name: float(row[f"{SYMBOL}.{name.title()}"]) for name in ("open", "high", "low", "close")}
            yield {"day": row["Date"], **prices, "volume": int(row[f"{SYMBOL}.Volume"])}


def questions(series: Sequence[dict[str, Any]], symbol: str) -> Iterator[dict[str, Any]]:
    """A record for each day that has a whole window behind it and a day after it."""
    for end in range(WINDOW, len(series)):
        following = {"day": series[end]["day"], "close": series[end]["close"]}
        yield {"symbol": symbol, "window": list(series[end - WINDOW : end]), "next": following}


def write(file: Path, records: Sequence[dict[str, Any]]) -> None:
    """As NDJSON, the same bytes on every machine."""
    lines = (json.dumps(record, separators=(",", ":")) + "\n" for record in records)
    file.write_text("".join(lines), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    raise SystemExit(main())
