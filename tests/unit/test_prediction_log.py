"""PredictionLog: what reaches the disk, what never does, and that it keeps out of the request's way."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from bentos.common.log_files import lock
from bentos.common.prediction_log import PredictionLog
from tests.waiting import eventually

CANARY = "ada@canary.example"
WRITER = """
import sys
from pathlib import Path
from pydantic import BaseModel
from bentos.common.prediction_log import PredictionLog

class Number(BaseModel):
    number: int

log = PredictionLog(Path(sys.argv[1]), BaseModel.model_dump, "sums", 3, print)
for line in sys.stdin:
    log.record("r", [Number(number=int(line))], [Number(number=0)])
log.close()
"""


class Asked(BaseModel):
    number: int
    email: str = CANARY


class Answered(BaseModel):
    score: float


def masked(asked: BaseModel) -> dict[str, Any]:
    return asked.model_dump(exclude={"email"})


class Dropped:
    def __init__(self) -> None:
        self.count = 0

    def __call__(self, count: int) -> None:
        self.count += count


@pytest.fixture
def dropped() -> Dropped:
    return Dropped()


@pytest.fixture
def start(tmp_path: Path, dropped: Dropped) -> Iterator[Callable[..., PredictionLog]]:
    logs: list[PredictionLog] = []
    (tmp_path / "log").mkdir(mode=0o700)

    def starter(**settings: Any) -> PredictionLog:
        given = {"folder": tmp_path / "log", "mask": masked, "model": "sums", "model_version": 3, "dropped": dropped}
        logs.append(PredictionLog(**{**given, **settings}))
        return logs[-1]

    yield starter
    for log in logs:
        log.close()


def lines(folder: Path) -> list[dict[str, Any]]:
    files = sorted(folder.glob("*.ndjson"), key=lambda path: path.stat().st_mtime_ns)
    return [json.loads(line) for path in files for line in path.read_bytes().splitlines()]


def record(log: PredictionLog, *numbers: int, request_id: str = "r") -> None:
    log.record(request_id, [Asked(number=number) for number in numbers], [Answered(score=0.5) for _ in numbers])


def test_closing_writes_every_document_that_was_taken(start: Callable[..., PredictionLog], tmp_path: Path) -> None:
    log = start()
    for number in range(500):
        record(log, number, request_id=f"r{number}")
    log.close()
    written = lines(tmp_path / "log")
    assert [line["request"]["number"] for line in written] == list(range(500))
    assert written[7] == {
        "time": written[7]["time"],
        "request_id": "r7",
        "item": 0,
        "model": "sums",
        "model_version": 3,
        "request": {"number": 7},
        "response": {"score": 0.5},
    }


def test_lines_appear_while_it_runs(start: Callable[..., PredictionLog], tmp_path: Path) -> None:
    record(start(), 1)
    eventually("the line is there", lambda: len(lines(tmp_path / "log")) == 1)


def test_the_documents_of_one_request_share_its_id_and_are_numbered(
    start: Callable[..., PredictionLog], tmp_path: Path
) -> None:
    log = start()
    record(log, 10, 11, 12, request_id="one")
    log.close()
    found = [(line["request_id"], line["item"]) for line in lines(tmp_path / "log")]
    assert found == [("one", 0), ("one", 1), ("one", 2)]


def test_nothing_unmasked_is_written_when_masking_fails(
    start: Callable[..., PredictionLog], tmp_path: Path, dropped: Dropped
) -> None:
    def failing(asked: BaseModel) -> dict[str, Any]:
        if asked.model_dump()["number"] == 1:
            raise ValueError(CANARY)
        return masked(asked)

    log = start(mask=failing)
    record(log, 0, 1, 2)
    log.close()
    assert [line["request"]["number"] for line in lines(tmp_path / "log")] == [0, 2]
    assert dropped.count == 1
    assert CANARY not in "".join(path.read_text() for path in (tmp_path / "log").iterdir())


def test_a_full_queue_drops_and_counts_and_never_waits(start: Callable[..., PredictionLog], dropped: Dropped) -> None:
    held, release = threading.Event(), threading.Event()

    def slow(asked: BaseModel) -> dict[str, Any]:
        held.set()
        release.wait(60)
        return masked(asked)

    log = start(mask=slow, capacity=10)
    record(log, 0)
    assert held.wait(60)
    started = time.perf_counter()
    for _ in range(100):
        record(log, 1, 2, 3)
    assert time.perf_counter() - started < 20
    assert dropped.count == 290
    release.set()


def test_a_disk_that_fails_is_counted_and_does_not_stop_the_log(
    start: Callable[..., PredictionLog], tmp_path: Path, dropped: Dropped
) -> None:
    log = start()
    (tmp_path / "log").rmdir()
    record(log, 1, 2)
    eventually("both are counted", lambda: dropped.count == 2)
    (tmp_path / "log").mkdir()
    record(log, 3)
    log.close()
    assert [line["request"]["number"] for line in lines(tmp_path / "log")] == [3]


def test_a_new_file_begins_when_one_is_full_and_the_oldest_go(
    start: Callable[..., PredictionLog], tmp_path: Path
) -> None:
    taken = threading.Semaphore(0)

    def one_by_one(asked: BaseModel) -> dict[str, Any]:
        taken.release()
        return masked(asked)

    log = start(mask=one_by_one, file_bytes=1_000, keep_bytes=3_000)
    for number in range(40):
        record(log, number)
        assert taken.acquire(timeout=60)  # so that each is written alone: lines written together stay together
    log.close()
    files = list((tmp_path / "log").glob("*.ndjson"))
    assert len(files) == 3
    assert all(path.stat().st_size <= 1_000 for path in files)
    kept = [line["request"]["number"] for line in lines(tmp_path / "log")]
    assert 0 < kept[0] < 39
    assert kept == list(range(kept[0], 40))


def test_files_of_a_model_whose_name_begins_alike_stay(start: Callable[..., PredictionLog], tmp_path: Path) -> None:
    others = [tmp_path / "log" / f"{model}-3-{number}-1.ndjson" for model in ("sums-eu", "sums-2") for number in (1, 2)]
    own = tmp_path / "log" / "sums-3-1-1.ndjson"
    for file in [*others, own]:
        file.write_text("{}\n")
    log = start(file_bytes=1_000, keep_bytes=1_000)
    record(log, 1)
    log.close()
    assert all(other.exists() for other in others)
    assert not own.exists()


@pytest.mark.parametrize("shipped", [True, False])
def test_what_makes_room_before_it_is_shipped_counts_as_dropped(
    shipped: bool, start: Callable[..., PredictionLog], tmp_path: Path, dropped: Dropped
) -> None:
    old = tmp_path / "log" / "sums-3-1-1.ndjson"
    old.write_text("{}\n" * 7)
    log = start(file_bytes=1_000, keep_bytes=1_000, shipped=shipped)
    record(log, 1)
    log.close()
    assert not old.exists()
    assert dropped.count == (7 if shipped else 0)


def test_a_file_that_is_being_shipped_neither_makes_room_nor_gets_another_line(
    start: Callable[..., PredictionLog], tmp_path: Path, dropped: Dropped
) -> None:
    log = start(file_bytes=1_000, keep_bytes=1_000, shipped=True)
    record(log, 1)
    eventually("the line is there", lambda: len(lines(tmp_path / "log")) == 1)
    (first,) = (tmp_path / "log").iterdir()
    with first.open("rb") as file:
        assert lock(file.fileno())
        before = first.read_bytes()
        record(log, 2)
        log.close()
        assert first.read_bytes() == before
    assert [line["request"]["number"] for line in lines(tmp_path / "log")] == [1, 2]
    assert dropped.count == 0


def test_a_file_that_was_shipped_and_deleted_is_not_begun_again(
    start: Callable[..., PredictionLog], tmp_path: Path
) -> None:
    log = start()
    record(log, 1)
    eventually("the line is there", lambda: len(lines(tmp_path / "log")) == 1)
    (first,) = (tmp_path / "log").iterdir()
    first.unlink()
    record(log, 2)
    log.close()
    (second,) = (tmp_path / "log").iterdir()
    assert second.name != first.name
    assert [line["request"]["number"] for line in lines(tmp_path / "log")] == [2]


def test_a_disk_that_takes_half_a_batch_keeps_none_of_it(
    start: Callable[..., PredictionLog], tmp_path: Path, dropped: Dropped, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = os.write
    monkeypatch.setattr(os, "write", lambda file, content: whole(file, content[:10]))
    log = start()
    record(log, 1, 2)
    eventually("both are counted", lambda: dropped.count == 2)
    monkeypatch.undo()
    record(log, 3)
    log.close()
    assert [line["request"]["number"] for line in lines(tmp_path / "log")] == [3]


def test_only_the_owner_can_read_it(start: Callable[..., PredictionLog], tmp_path: Path) -> None:
    log = start()
    record(log, 1)
    log.close()
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "log").iterdir()} == {0o600}


def test_two_processes_of_one_model_write_to_files_of_their_own(tmp_path: Path, checkout: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, tmp_path], cwd=checkout, stdin=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for number in range(100):
        stream = writers[number % 2].stdin
        assert stream is not None
        stream.write(f"{number}\n")
        stream.flush()
    for writer in writers:
        writer.communicate(timeout=60)
        assert writer.returncode == 0
    written = {
        path.stem: [json.loads(line)["request"]["number"] for line in path.read_text().splitlines()]
        for path in tmp_path.glob("sums-3-*.ndjson")
    }
    by_process = {int(name.rpartition("-")[2]): numbers for name, numbers in written.items()}
    assert by_process == {writer.pid: list(range(first, 100, 2)) for first, writer in enumerate(writers)}
    assert len(written) == 2
