"""Personal data planted in every field that may hold some is found nowhere but in the raw zone: not after a full run,
not after answers, not after errors."""

from __future__ import annotations

import gzip
import io
import json
import sqlite3
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from bakehouse import archives
from bentos.common.masking import PII
from bentos.orders.contract import Address, Customer, Line, Record
from gitops.history import champion
from gitops.repository import GitopsRepository
from tests.e2e.conftest import Train
from tests.served import serve

CUSTOMER = {
    "id": "98765432101",
    "name": "Zephyrine Quillfeather",
    "email": "zephyrine.quillfeather@canary.example",
    "phone": "+44 7700 913577",
    "address": {
        "street": "77 Quagmire Hollow",
        "city": "Wexcombe-under-Zorn",
        "postal_code": "QX7 9ZK",
        "country": "United Kingdom",
    },
}
NOTE = "Ring 07700 913588 or write to hidden.note@canary.example, card 4111 1111 1111 1111"
DESCRIPTION = "ENGRAVED hidden.line@canary.example"
PLANTED = (
    "98765432101",
    "Quillfeather",
    "quillfeather",
    "7700 913577",
    "7700913577",
    "Quagmire",
    "Wexcombe",
    "QX7 9ZK",
    "QX79ZK",
    "7700 913588",
    "7700913588",
    "canary.example",
    "4111 1111",
    "4111111111111111",
)


def test_the_canaries_cover_every_field_that_is_marked_as_personal() -> None:
    marked = {
        (kind.__name__, name)
        for kind in (Record, Customer, Address, Line)
        for name, field in kind.model_fields.items()
        if any(isinstance(mark, PII) for mark in field.metadata)
    }
    planted = {("Customer", name) for name in CUSTOMER} | {("Address", name) for name in CUSTOMER["address"]}
    assert ("Customer", "email") in marked
    assert marked <= planted | {("Record", "note"), ("Line", "description")}


def test_no_planted_value_is_found_behind_the_gatekeeper(
    train: Train, batches: Sequence[Path], state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders = [json.loads(line) for line in batches[0].read_text().splitlines()]
    batch = tmp_path / "batch.ndjson"
    batch.write_bytes(b"".join(planted_lines(orders)))
    ended = train(batch)
    assert ended.code == 0, ended.output

    release = champion(GitopsRepository.open(), "staging", "orders")
    assert release is not None
    image = state / "images" / f"{release.image.digest.removeprefix('sha256:')}.bento"
    bento = archives.unpack(image, release.image.digest, tmp_path / "bento")
    with serve(bento, state / "serving", BAKEHOUSE_PREDICTION_LOG=str(state / "predictions")) as service:
        order = with_canaries(orders[0])
        assert httpx.post(f"{service.url}/predict", json=order).status_code == 200
        for broken in (order | {"lines": []}, order | {CUSTOMER["email"]: 1}, order | {"customer": NOTE}):
            assert 400 <= httpx.post(f"{service.url}/predict", json=broken).status_code < 500
        assert 400 <= httpx.post(f"{service.url}/predict", content=json.dumps(order)[:-9]).status_code < 500
    assert list((state / "predictions").rglob("*.ndjson")), "no prediction was logged, so nothing was proven of its log"

    assert leaks(state, ended.output.encode()) == []
    assert leaks(state / "data", b"") != [], (
        "the raw zone holds the batch, so a search that finds nothing there is blind"
    )


def with_canaries(order: dict[str, Any]) -> dict[str, Any]:
    lines = [order["lines"][0] | {"description": DESCRIPTION}, *order["lines"][1:]]
    return order | {"customer": CUSTOMER, "note": NOTE, "lines": lines}


def planted_lines(orders: Sequence[dict[str, Any]]) -> Iterator[bytes]:
    """Every order with canaries, and one refused for each kind of reason, with canaries where the reason is."""
    for order in orders:
        yield json.dumps(with_canaries(order)).encode() + b"\n"
    order = with_canaries(orders[0])
    refused = (
        order | {"order_id": "900001", "lines": [order["lines"][0] | {"quantity": 0}]},
        order | {"order_id": "900002", "customer": CUSTOMER | {"email": ["zephyrine.quillfeather@canary.example"]}},
        order | {"order_id": "900003", CUSTOMER["email"]: CUSTOMER["name"]},
        order | {"order_id": "900004", "country": CUSTOMER["email"]},
        order | {"order_id": CUSTOMER["email"]},
        order | {"order_id": "900005", "note": [NOTE]},
        order | {"order_id": "900006", "time": CUSTOMER["phone"]},
        [order],
        NOTE,
    )
    for document in refused:
        yield json.dumps(document).encode() + b"\n"
    yield json.dumps(order).encode()[:-20] + b"\n"
    yield json.dumps(order | {"note": NOTE * 100_000}).encode() + b"\n"


def leaks(folder: Path, output: bytes) -> list[str]:
    """Where below `folder` (but for the raw zone in it) or in `output` a planted value stands, however it is packed."""
    found = [f"output: {value}" for value in PLANTED if value.encode() in output]
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.relative_to(folder).parts[0] != "data":
            for inside, content in unpacked(path):
                found += [
                    f"{path.relative_to(folder)}{inside}: {value}" for value in PLANTED if value.encode() in content
                ]
    for repository in sorted(head.parent for head in folder.rglob("*.git/HEAD")):
        command = ["git", "-C", str(repository), "cat-file", "--batch", "--batch-all-objects"]
        objects = subprocess.run(command, check=True, capture_output=True).stdout
        found += [f"{repository.name}: {value}" for value in PLANTED if value.encode() in objects]
    return found


def unpacked(path: Path) -> Iterator[tuple[str, bytes]]:
    """The file's bytes, and what is in it where it is packed or a database."""
    content = path.read_bytes()
    yield "", content
    if content.startswith(b"SQLite format 3"):
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            yield " (rows)", "\n".join(database.iterdump()).encode(errors="replace")
    elif content.startswith(b"\x1f\x8b"):
        plain = gzip.decompress(content)
        yield " (unzipped)", plain
        if tarfile.is_tarfile(io.BytesIO(plain)):
            with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
                for member in archive.getmembers():
                    if (file := archive.extractfile(member)) is not None:
                        yield f"/{member.name}", file.read()
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as packed:
            for name in packed.namelist():
                yield f"/{name}", packed.read(name)
