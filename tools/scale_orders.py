"""Repeat and perturb orders up to a size, for benchmarks only: `python tools/scale_orders.py OUT --megabytes 500`.

Never train on what this writes. Every order has an id, a customer and a time of its own, so that nothing gains from
repetition; quantities and prices are shaken, descriptions stay. The same seed gives the same bytes. Ids have seven
digits, enough for nine million orders, some 20 GB.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

BATCHES = Path(__file__).resolve().parents[1] / "data" / "orders"


def main() -> None:
    """Write the file and say how many orders it holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="the NDJSON file to write")
    parser.add_argument("--megabytes", type=float, required=True, help="stop at this size, in units of 10^6 bytes")
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    orders = write(options.out, round(options.megabytes * 1_000_000), options.seed)
    print(f"{options.out}: {orders} orders, {options.out.stat().st_size} bytes")


def write(out: Path, size: int, seed: int) -> int:
    """Fill `out` with orders until it holds at least `size` bytes; returns how many they are."""
    written = orders = 0
    with out.open("wb") as file:
        for order in scaled(seed):
            line = json.dumps(order, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
            written += file.write(line)
            orders += 1
            if written >= size:
                break
    return orders


def scaled(seed: int) -> Iterator[dict[str, Any]]:
    """The shipped orders over and over without end, each time perturbed."""
    draw = random.Random(seed)  # noqa: S311  benchmarks need repeatable numbers, not secret ones
    lines = [line for path in sorted(BATCHES.glob("*.ndjson")) for line in path.read_bytes().splitlines()]
    for number in count(1_000_000, len(lines)):
        for place, line in enumerate(lines):
            yield _perturbed(json.loads(line), number + place, draw)


def _perturbed(order: dict[str, Any], number: int, draw: random.Random) -> dict[str, Any]:
    prefix = order["order_id"][0]
    order["order_id"] = f"{prefix if prefix.isalpha() else ''}{number}"
    moment = datetime.fromisoformat(order["time"]) + timedelta(
        days=draw.randrange(-300, 300), minutes=draw.randrange(60)
    )
    order["time"] = moment.isoformat().replace("+00:00", "Z")
    if order["customer"]:
        name, domain = order["customer"]["email"].split("@")
        order["customer"] |= {"id": str(number), "email": f"{name}.{number}@{domain}"}
        order["customer"]["phone"] = f"+44 7700 900{draw.randrange(1000):03d}"
    for line in order["lines"]:
        line["quantity"] *= draw.randint(1, 3)
        line["unit_price"] = round(line["unit_price"] * draw.uniform(0.8, 1.25), 2)
    return order


if __name__ == "__main__":
    main()
