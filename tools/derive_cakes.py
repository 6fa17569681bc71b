"""Make data/cakes/batch-1.ndjson and batch-2.ndjson from FiveThirtyEight's candy power ranking.

    python -m tools.derive_cakes candy-data.csv

The same file gives the same bytes again.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
from pathlib import Path
from typing import Any

from bakehouse import workspace

FLAVOURS = {
    "chocolate": "chocolate",
    "fruity": "fruit",
    "caramel": "caramel",
    "peanutyalmondy": "nuts",
    "nougat": "nougat",
    "crispedricewafer": "wafer",
}
FORMS = {"hard": "hard", "bar": "bar", "pluribus": "several"}
FIRST_BATCH = 70
"""How many treats make the first batch; the second has the rest."""


def main() -> int:
    """Write both batches."""
    parser = argparse.ArgumentParser(prog="python -m tools.derive_cakes", description="Make the cakes batches.")
    parser.add_argument("csv", type=Path, help="candy-data.csv")
    parser.add_argument("--to", type=Path, default=workspace.root() / "data" / "cakes", help="where to write")
    given = parser.parse_args()
    given.to.mkdir(parents=True, exist_ok=True)
    with given.csv.open(encoding="utf-8", newline="") as opened:
        treats = [_treat(row) for row in csv.DictReader(opened)]
    # The source is in the order of the alphabet, brand by brand; a batch should hold some of each.
    treats.sort(key=lambda treat: hashlib.sha256(treat["name"].encode()).digest())
    for number, batch in enumerate((treats[:FIRST_BATCH], treats[FIRST_BATCH:]), start=1):
        lines = (json.dumps(treat, separators=(",", ":")) + "\n" for treat in batch)
        (given.to / f"batch-{number}.ndjson").write_text("".join(lines), encoding="utf-8", newline="\n")
        print(f"batch-{number}.ndjson: {len(batch)} treats")
    return 0


def _treat(row: dict[str, str]) -> dict[str, Any]:
    return {
        "name": row["competitorname"],
        "flavours": [name for column, name in FLAVOURS.items() if row[column] == "1"],
        "forms": [name for column, name in FORMS.items() if row[column] == "1"],
        # The source's ranks carry the noise of 32 bits: .73199999 is .732.
        "sugar": round(float(row["sugarpercent"]), 3),
        "price": round(float(row["pricepercent"]), 3),
        "won": float(row["winpercent"]),
    }


if __name__ == "__main__":
    raise SystemExit(main())
