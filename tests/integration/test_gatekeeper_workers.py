"""The gatekeeper on several processes writes what it writes on one."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest

from bakehouse.errors import DataError
from bentos.common import gatekeeper
from bentos.common.gatekeeper import AcceptanceReport, Contract, admit_files
from bentos.orders import contract
from tests.order_documents import line, order

KEY = b"k" * 32
NOW = datetime(2020, 6, 1, tzinfo=UTC)


def admitted(paths: list[Path], workers: int) -> tuple[AcceptanceReport, bytes, bytes]:
    accepted, quarantine = paths[0].with_suffix(".accepted"), paths[0].with_suffix(".quarantine")
    report = admit_files(paths, cast(Contract, contract), KEY, accepted, quarantine, NOW, workers)
    return report, accepted.read_bytes(), quarantine.read_bytes()


def messy(seed: int) -> bytes:
    """Valid, refused, repeated, blank, broken and overlong lines in any order, without a newline at the end."""
    draw = random.Random(seed)
    kinds: list[Callable[[], bytes]] = [
        lambda: line(order(order_id=str(draw.randrange(100_000, 100_400)))),
        lambda: line(order(order_id=str(draw.randrange(100_000, 100_400)), currency="pounds")),
        lambda: b"\r\n",
        lambda: b'{"order_id": \n',
        lambda: b"x" * draw.choice([10, 2_000_000]) + b"\n",
    ]
    return b"".join(draw.choices(kinds, [60, 5, 2, 2, 1])[0]() for _ in range(800)).rstrip()


@pytest.mark.parametrize("piece", [1_000, 50_000, 4 << 20])
def test_what_is_written_is_the_same_to_the_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    path = tmp_path / "raw.ndjson"
    path.write_bytes(messy(piece))
    monkeypatch.setattr(gatekeeper, "PIECE_BYTES", piece)
    alone = admitted([path], 1)
    assert alone[0].duplicates > 50
    assert admitted([path], 3) == alone


def test_several_files_are_one_input_on_any_number_of_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gatekeeper, "PIECE_BYTES", 50_000)
    contents = [messy(1), b"", messy(2) + b"\n", line(order(order_id="100500")).rstrip()]
    paths = [tmp_path / f"{number}.ndjson" for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    alone = admitted(paths, 1)
    assert alone[0].documents == sum(len(content.splitlines()) for content in contents)
    assert alone[0].duplicates > sum(admitted([path], 1)[0].duplicates for path in paths)
    assert b'"order_id":"100500"' in alone[1].splitlines()[-1]
    assert admitted(paths, 3) == alone


def test_an_empty_file_is_the_same_on_several_processes(tmp_path: Path) -> None:
    path = tmp_path / "raw.ndjson"
    path.write_bytes(b"")
    assert admitted([path], 2) == admitted([path], 1)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_file_that_is_not_there_is_a_data_error(tmp_path: Path, workers: int) -> None:
    with pytest.raises(DataError, match=r"missing\.ndjson can't be opened"):
        admitted([tmp_path / "missing.ndjson"], workers)
