"""Derive the raw orders under data/orders from the UCI Online Retail sample: `python tools/derive_orders.py CSV [OUT]`.

Everything about what was sold is real. Times of day, people and notes are synthetic, drawn from hashes of the invoice
and customer numbers, so that the same CSV always gives the same bytes. data/README.md says which field is which.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import statistics
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

Order = dict[str, Any]

BATCHES = {
    "batch-1": (date(2010, 12, 1), date(2010, 12, 2)),
    "batch-2": (date(2010, 12, 3),),
    "batch-3": (date(2010, 12, 5),),
}
OPENS, CLOSES = time(6, 30), time(20, 0)
# The full data set, which has times of day, peaks at noon and thins out towards 7:00 and 19:00.
HOURS = statistics.NormalDist(mu=13.0, sigma=2.2)

GIVEN_NAMES: tuple[str, ...] = ("Ada", "Alan", "Barbara", "Claude", "Donald", "Edith", "Frances", "Grace")
GIVEN_NAMES += ("Hedy", "Ida", "John", "Katherine", "Leslie", "Mary", "Niklaus", "Radia")
FAMILY_NAMES = ("Example", "Sample", "Specimen", "Placeholder", "Fictional", "Testman", "Mockford", "Dummett")
STREETS = ("Example Street", "Sample Road", "Test Lane", "Specimen Avenue", "Placeholder Square")
# There are no such postal areas.
PLACES = {
    "United Kingdom": ("Sampleton", "ZZ{0} {1}ZZ"),
    "EIRE": ("Baile Sampla", "Z{0:02d} ZZ{1}{1}"),
}
TEST_CARDS = ("4111 1111 1111 1111", "5555-5555-5555-4444", "378282246310005")
NOTES = (
    "Please deliver before noon.",
    "Gift wrap, no invoice in the box.",
    "Send the confirmation to {email} instead.",
    "Ring {phone} before delivery.",
    "Charge card {card}, the other one has expired.",
    "Leave with the neighbour at number 7.",
)


def main() -> None:
    """Write the batches and say how many orders each holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("csv", type=Path, help="the sample: UTF-8 with a byte-order mark, one row a line of an invoice")
    default = Path(__file__).resolve().parents[1] / "data" / "orders"
    parser.add_argument("out", type=Path, nargs="?", default=default, help="the folder to write to (data/orders)")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    orders = list(derive(options.csv))
    for name, days in BATCHES.items():
        batch = [order for order in orders if datetime.fromisoformat(order["time"]).date() in days]
        path = options.out / f"{name}.ndjson"
        path.write_text("".join(line(order) for order in batch), encoding="utf-8", newline="\n")
        print(f"{path.name}: {len(batch)} orders, {sum(len(order['lines']) for order in batch)} lines")


def line(order: Order) -> str:
    """One order as one line of NDJSON."""
    return json.dumps(order, ensure_ascii=False, separators=(",", ":")) + "\n"


def derive(source: Path) -> Iterator[Order]:
    """The orders of the CSV, one per invoice number, in the order of their (partly synthetic) times."""
    days: dict[date, dict[str, list[dict[str, str]]]] = {}
    with source.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            day = datetime.strptime(row["InvoiceDate"], "%d/%m/%Y").replace(tzinfo=UTC).date()
            days.setdefault(day, {}).setdefault(row["InvoiceNo"], []).append(row)
    for day, invoices in sorted(days.items()):
        # Cancellations are numbered in the same sequence as sales, only with a C before the number.
        numbers = sorted(invoices, key=lambda number: int(number.lstrip("C")))
        for position, number in enumerate(numbers):
            moment = datetime.combine(day, time_of_day(position, len(numbers)), UTC)
            yield order(number, moment, invoices[number])


def time_of_day(position: int, count: int) -> time:
    """A synthetic time: the quantile of the `position`-th of `count` invoices in the bell of the shop's hours."""
    minutes = int(60 * HOURS.inv_cdf((position + 0.5) / count))
    return min(max(time(minutes // 60, minutes % 60), OPENS), CLOSES)


def order(number: str, moment: datetime, rows: list[dict[str, str]]) -> Order:
    """The order document of one invoice."""
    first = rows[0]
    customer = person(first["CustomerID"], first["Country"]) if first["CustomerID"] else None
    document: Order = {
        "order_id": number,
        "time": moment.isoformat().replace("+00:00", "Z"),
        "customer": customer,
        "country": first["Country"],
        "currency": "GBP",
    }
    words = note(number, customer)
    if words is not None:
        document["note"] = words
    document["lines"] = [
        {
            "stock_code": row["StockCode"],
            "description": row["Description"] or None,
            "quantity": int(row["Quantity"]),
            "unit_price": float(row["UnitPrice"]),
        }
        for row in rows
    ]
    return document


def person(customer_id: str, country: str) -> dict[str, Any]:
    """A made-up person, always the same for the same customer id."""
    draw = _draw("person", customer_id)
    given = GIVEN_NAMES[draw % len(GIVEN_NAMES)]
    family = FAMILY_NAMES[(draw >> 8) % len(FAMILY_NAMES)]
    city, postal_code = PLACES.get(country, ("Sampleville", "Z{0:02d}{1:02d}"))
    domestic = country == "United Kingdom"
    return {
        "id": customer_id,
        "name": f"{given} {family}",
        "email": f"{given}.{family}.{customer_id}@example.{('com', 'org', 'net')[(draw >> 16) % 3]}".lower(),
        "phone": f"+44 7700 900{(draw >> 24) % 1000:03d}" if domestic else f"+1 202-555-01{(draw >> 24) % 100:02d}",
        "address": {
            "street": f"{1 + (draw >> 34) % 199} {STREETS[(draw >> 42) % len(STREETS)]}",
            "city": city,
            "postal_code": postal_code.format(1 + (draw >> 50) % 9, (draw >> 54) % 10),
            "country": country,
        },
    }


def note(number: str, customer: dict[str, Any] | None) -> str | None:
    """A synthetic note on about one order in five that has a customer; half of the notes carry personal data."""
    draw = _draw("note", number)
    if customer is None or draw % 5:
        return None
    card = TEST_CARDS[(draw >> 8) % len(TEST_CARDS)]
    return NOTES[(draw >> 16) % len(NOTES)].format(email=customer["email"], phone=customer["phone"], card=card)


def _draw(purpose: str, key: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{purpose}:{key}".encode()).digest()[:8], "big")


if __name__ == "__main__":
    main()
