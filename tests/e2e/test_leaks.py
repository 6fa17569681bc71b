"""Personal data planted in every field that may hold some is found nowhere but in the raw zone: not after a full run,
not after answers, not after errors."""

from __future__ import annotations

import base64
import copy
import gzip
import io
import json
import re
import sqlite3
import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from bakehouse import archives
from bentos.common.masking import models, pii
from bentos.orders.contract import EXAMPLE, Address, Customer, Line, Record
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
NOTE = (
    "Order 536365 07700 913588, 7700/913/588, or write to hidden.note@canary.example; "
    "card 4111 1111 1111 1111, 4111/1111/1111/1111, 4111_1111_1111_1111"
)
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
    "7700/913",
    "canary.example",
    "4111 1111",
    "4111/1111",
    "4111_1111",
    "4111111111111111",
)


EMBEDDED = re.compile(rb";base64,([A-Za-z0-9+/]+)")
PLANTABLE = {
    Record: {"note"},
    Customer: {"id", "name", "email", "phone"},
    Address: {"street", "city", "postal_code"},
    Line: {"description"},
}
FORBIDDEN: dict[str, Sequence[Any]] = {
    "order_id": ["07700913577", "4111111111111111", "zephyrine.quillfeather@canary.example"],
    "time": ["+44 7700 913577", "2010-12-01T08:26:00Z Quillfeather"],
    "country": ["Zephyrine Quillfeather", "Wexcombe"],
    "currency": ["Quillfeather", "4111111111111111"],
    "customer.address.country": ["Wexcombe-under-Zorn", "Quillfeather"],
    "customer.address.postal_code": ["77 Quagmire Hollow", "Quagmire 7", "7700913577 "],
    "lines.0.stock_code": ["4111 1111 1111 1111", "07700 913577", "7700913577", "QUILLFEATHER"],
    "lines.0.quantity": ["7700913577", 7_700_913_577, 4_111_111_111_111_111],
    "lines.0.unit_price": ["7700913577", 7_700_913_577.0, 4_111_111_111_111_111],
}
"""Canaries for every field without a mark, each where its type leaves no room for it."""


def test_a_canary_is_planted_in_every_field_of_an_order_that_may_hold_one_and_those_are_all_marked() -> None:
    marked = {kind: {name for name, field in kind.model_fields.items() if pii(field)} for kind in models(Record)}
    assert marked == PLANTABLE
    planted = with_canaries({"order_id": "536365", "lines": [{}]})
    assert planted.keys() >= PLANTABLE[Record]
    assert planted["customer"].keys() >= PLANTABLE[Customer]
    assert planted["customer"]["address"].keys() >= PLANTABLE[Address]
    assert planted["lines"][0].keys() >= PLANTABLE[Line]


def test_every_other_field_has_a_canary_that_is_refused() -> None:
    unmarked = {
        (kind, name)
        for kind in models(Record)
        for name, field in kind.model_fields.items()
        if not pii(field) and (kind, name) not in {(Record, "customer"), (Record, "lines"), (Customer, "address")}
    }
    owners = {"": Record, "customer": Customer, "customer.address": Address, "lines.0": Line}
    covered = {(owners[path.rpartition(".")[0]], path.rpartition(".")[2]) for path in FORBIDDEN}
    assert unmarked | {(Address, "postal_code")} == covered


@pytest.mark.parametrize(("path", "canary"), [(path, canary) for path, some in FORBIDDEN.items() for canary in some])
def test_no_unmarked_field_takes_a_canary_and_the_refusal_does_not_repeat_it(path: str, canary: Any) -> None:
    with pytest.raises(ValidationError) as refusal:
        Record.model_validate_json(json.dumps(replaced(with_canaries(EXAMPLE), path, canary)))
    assert [".".join(map(str, fault["loc"])) for fault in refusal.value.errors()] == [path]
    told = [fault["msg"] for fault in refusal.value.errors(include_input=False)]
    assert str(canary) not in f"{refusal.value} {told}"


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
        forbidden = [replaced(order, path, canary) for path, some in FORBIDDEN.items() for canary in some]
        unknown = [order | {"lines": []}, order | {CUSTOMER["email"]: 1}, order | {"customer": NOTE}]
        for broken in (*forbidden, *unknown):
            assert 400 <= httpx.post(f"{service.url}/predict", json=broken).status_code < 500
        assert 400 <= httpx.post(f"{service.url}/predict", content=json.dumps(order)[:-9]).status_code < 500
    assert list((state / "predictions").rglob("*.ndjson")), "no prediction was logged, so nothing was proven of its log"

    assert leaks(state, ended.output.encode()) == []
    assert leaks(state / "data", b"") != [], (
        "the raw zone holds the batch, so a search that finds nothing there is blind"
    )


def plain(file: Path) -> None:
    file.write_text(NOTE)


def a_database(file: Path) -> None:
    # Compressed by nothing, but in UTF-16, which only SQLite itself reads back as text.
    with closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA encoding = 'UTF-16'")
        database.execute("CREATE TABLE told (note TEXT)")
        database.execute("INSERT INTO told VALUES (?)", [NOTE])
        database.commit()


def gzipped(file: Path) -> None:
    file.write_bytes(gzip.compress(NOTE.encode()))


def a_tar_archive(file: Path) -> None:
    with tarfile.open(file, "w:gz") as archive:
        header = tarfile.TarInfo("inner/note.txt.gz")
        content = gzip.compress(NOTE.encode())
        header.size = len(content)
        archive.addfile(header, io.BytesIO(content))


def a_zip_archive(file: Path) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("note.txt", NOTE)


def a_page_with_embedded_data(file: Path) -> None:
    file.write_text(f'<iframe src="data:text/html;base64,{base64.b64encode(NOTE.encode()).decode()}"></iframe>')


def a_git_repository(file: Path) -> None:
    repository = file.with_suffix(".git")
    subprocess.run(["git", "init", "-q", "--bare", repository], check=True)
    hashed = ["git", "-C", str(repository), "hash-object", "-w", "--stdin"]
    subprocess.run(hashed, input=NOTE.encode(), check=True, capture_output=True)


@pytest.mark.parametrize(
    "pack", [plain, a_database, gzipped, a_tar_archive, a_zip_archive, a_page_with_embedded_data, a_git_repository]
)
def test_the_search_finds_what_is_planted_however_it_is_packed(pack: Callable[[Path], None], tmp_path: Path) -> None:
    folder = tmp_path / "reports"
    folder.mkdir()
    (folder / "clean.txt").write_text("Nothing to see.")
    assert leaks(tmp_path, b"") == []
    pack(folder / "planted")
    assert any(found.endswith(": canary.example") for found in leaks(tmp_path, b""))
    assert any(found.endswith(": 4111_1111") for found in leaks(tmp_path, b""))


def test_the_search_finds_what_a_command_prints_and_leaves_out_the_raw_zone_alone(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "batch.ndjson").write_text(NOTE)
    assert leaks(tmp_path, b"") == []
    assert leaks(tmp_path, NOTE.encode()) != []


def with_canaries(order: dict[str, Any]) -> dict[str, Any]:
    lines = [order["lines"][0] | {"description": DESCRIPTION}, *order["lines"][1:]]
    return order | {"customer": CUSTOMER, "note": NOTE, "lines": lines}


def replaced(order: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy of the order with another value at a path such as `lines.0.quantity`."""
    changed = copy.deepcopy(order)
    *parents, name = path.split(".")
    place: Any = changed
    for parent in parents:
        place = place[int(parent) if parent.isdigit() else parent]
    place[name] = value
    return changed


def planted_lines(orders: Sequence[dict[str, Any]]) -> Iterator[bytes]:
    """Every order with canaries, and one refused for each kind of reason, with canaries where the reason is."""
    for order in orders:
        yield json.dumps(with_canaries(order)).encode() + b"\n"
    order = with_canaries(orders[0])
    refused = (
        *(
            replaced(order | {"order_id": "900000"}, path, canary)
            for path, canaries in FORBIDDEN.items()
            for canary in canaries
        ),
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
    if content.startswith(b"SQLite format 3"):
        yield "", content
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            yield " (rows)", "\n".join(database.iterdump()).encode(errors="replace")
    else:
        yield from unpacked_bytes("", content)


def unpacked_bytes(name: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    """The bytes themselves, and what is in them, archives in archives too."""
    yield name, content
    for number, encoded in enumerate(EMBEDDED.findall(content)):
        yield from unpacked_bytes(f"{name} (embedded {number})", base64.b64decode(encoded + b"=" * (-len(encoded) % 4)))
    if content.startswith(b"\x1f\x8b"):
        plain = gzip.decompress(content)
        if not tarfile.is_tarfile(io.BytesIO(plain)):
            yield from unpacked_bytes(f"{name} (unzipped)", plain)
            return
        with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
            for member in archive.getmembers():
                if (file := archive.extractfile(member)) is not None:
                    yield from unpacked_bytes(f"{name}/{member.name}", file.read())
    elif zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            for member_name in packed.namelist():
                yield from unpacked_bytes(f"{name}/{member_name}", packed.read(member_name))
