"""The tools that make orders: raw ones from the public CSV, and many from few."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from bentos.orders.contract import Record

CSV = """\
InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country
536365,85123A,WHITE HANGING HEART ,6,1/12/2010,2.55,17850,United Kingdom
536365,71053,"LANTERN, METAL",2,1/12/2010,3.39,17850,United Kingdom
C536379,D,Discount,-1,1/12/2010,27.5,14527,EIRE
536414,22139,,56,1/12/2010,0,,United Kingdom
536847,22633,HAND WARMER,6,3/12/2010,1.85,17850,United Kingdom
537037,22114,HOT WATER BOTTLE,8,5/12/2010,3.95,12345,Germany
"""


def tool(name: str, *arguments: str | Path) -> None:
    checkout = Path(__file__).resolve().parents[2]
    command = [sys.executable, str(checkout / "tools" / name), *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True)


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@pytest.fixture
def derived(tmp_path: Path) -> Path:
    source = tmp_path / "retail.csv"
    source.write_text("\ufeff" + CSV.replace("\n", "\r\n"), encoding="utf-8", newline="")
    tool("derive_orders.py", source, tmp_path / "orders")
    return tmp_path / "orders"


def test_invoices_become_orders_in_the_batch_of_their_day(derived: Path) -> None:
    ids = {path.stem: [order["order_id"] for order in read(path)] for path in derived.iterdir()}
    assert ids == {"batch-1": ["536365", "C536379", "536414"], "batch-2": ["536847"], "batch-3": ["537037"]}


def test_what_was_sold_is_as_the_source_has_it_dirt_included(derived: Path) -> None:
    sold, cancelled, correction = read(derived / "batch-1.ndjson")
    assert sold["lines"] == [
        {"stock_code": "85123A", "description": "WHITE HANGING HEART ", "quantity": 6, "unit_price": 2.55},
        {"stock_code": "71053", "description": "LANTERN, METAL", "quantity": 2, "unit_price": 3.39},
    ]
    assert cancelled["lines"][0]["quantity"] == -1
    assert correction["customer"] is None
    assert correction["lines"] == [{"stock_code": "22139", "description": None, "quantity": 56, "unit_price": 0.0}]


def test_times_are_on_the_real_day_in_the_order_of_invoices_within_opening_hours(derived: Path) -> None:
    times = [datetime.fromisoformat(order["time"]) for order in read(derived / "batch-1.ndjson")]
    assert {time.date().isoformat() for time in times} == {"2010-12-01"}
    assert times == sorted(times)
    assert all(6 <= time.hour <= 20 and time.utcoffset() is not None for time in times)


def test_one_customer_is_one_person_in_every_batch(derived: Path) -> None:
    first, again = read(derived / "batch-1.ndjson")[0], read(derived / "batch-2.ndjson")[0]
    assert first["customer"] == again["customer"]
    assert first["customer"] != read(derived / "batch-3.ndjson")[0]["customer"]


def test_the_same_source_gives_the_same_bytes(derived: Path, tmp_path: Path) -> None:
    tool("derive_orders.py", tmp_path / "retail.csv", tmp_path / "again")
    for path in derived.iterdir():
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes()


def test_people_in_the_shipped_batches_can_not_be_anybody(checkout: Path) -> None:
    customers = [
        order["customer"]
        for path in sorted((checkout / "data" / "orders").glob("*.ndjson"))
        for order in read(path)
        if order["customer"]
    ]
    assert len(customers) > 400
    for customer in customers:
        assert re.fullmatch(r"[a-z.0-9]+@example\.(com|org|net)", customer["email"])
        assert re.fullmatch(r"\+44 7700 900\d{3}|\+1 202-555-01\d\d", customer["phone"])


def test_scaling_fills_a_file_with_valid_orders_of_their_own(tmp_path: Path) -> None:
    tool("scale_orders.py", tmp_path / "many.ndjson", "--megabytes", "3")
    orders = read(tmp_path / "many.ndjson")
    assert 3_000_000 <= (tmp_path / "many.ndjson").stat().st_size < 3_200_000
    assert len({order["order_id"] for order in orders}) == len(orders)
    valid = [order for order in orders if order["customer"] or any(line["unit_price"] for line in order["lines"])]
    for order in valid:
        Record.model_validate_json(json.dumps(order))
    assert len(valid) > 0.85 * len(orders)
