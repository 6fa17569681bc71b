"""Feedback as documents and a log: what is read, what is kept, and what happens where it can't be."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from bentos.common.feedback import ANY, Feedback
from bentos.common.predictor import RefusedError

Label = Literal["bad", "good"]
Grade = Annotated[int, Field(ge=0, le=20)]


def given(**changed: Any) -> bytes:
    return json.dumps({"request_id": "r-1", "label": "good"} | changed).encode()


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for file in sorted(folder.rglob("*.ndjson")) for line in file.open()]


def test_one_document_or_several_are_kept_with_time_and_model(tmp_path: Path) -> None:
    feedback = Feedback(tmp_path, Label, "sums", 3)
    feedback.keep(feedback.read(given()))
    feedback.keep(feedback.read(b"[" + given(item=1, label="bad") + b"," + given(item=2) + b"]"))
    kept = lines(tmp_path)
    assert [(line["item"], line["label"]) for line in kept] == [(0, "good"), (1, "bad"), (2, "good")]
    assert {(line["model"], line["model_version"], line["request_id"]) for line in kept} == {("sums", 3, "r-1")}
    assert all(line["time"].endswith("+00:00") for line in kept)


def test_labels_that_are_listed_are_told_apart_and_numbers_are_not(tmp_path: Path) -> None:
    words, numbers = Feedback(tmp_path, Label, "sums", 3), Feedback(tmp_path, Grade, "grades", 1)
    assert words.counted(words.read(given(label="bad"))) == ["bad"]
    assert numbers.counted(numbers.read(given(label=12))) == [ANY]


@pytest.mark.parametrize(
    "body",
    [given(label="neutral"), given(label=1), given(request_id="a b"), given(request_id=""), given(item=1_000),
     given(item="0"), given(more=1), b"[]", b"{}", b"null"],
)  # fmt: skip
def test_what_breaks_the_contract_is_refused(body: bytes, tmp_path: Path) -> None:
    with pytest.raises(RefusedError) as refused:
        Feedback(tmp_path, Label, "sums", 3).read(body)
    assert refused.value.status == 422


def test_a_number_out_of_bounds_is_refused_with_what_is_allowed(tmp_path: Path) -> None:
    with pytest.raises(RefusedError) as refused:
        Feedback(tmp_path, Grade, "grades", 1).read(given(label=21))
    assert refused.value.problems[0]["allowed"] == "<= 20"


def test_feedback_from_many_threads_stands_in_whole_lines(tmp_path: Path) -> None:
    feedback = Feedback(tmp_path, Label, "sums", 3)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda item: feedback.keep(feedback.read(given(item=item))), range(100)))
    assert sorted(line["item"] for line in lines(tmp_path)) == list(range(100))


def test_a_disk_that_takes_half_a_line_keeps_none_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    feedback = Feedback(tmp_path, Label, "sums", 3)
    feedback.keep(feedback.read(given()))
    whole = os.write
    monkeypatch.setattr(os, "write", lambda file, content: whole(file, content[:10]))
    with pytest.raises(OSError, match="full"):
        feedback.keep(feedback.read(given(item=1)))
    monkeypatch.undo()
    feedback.keep(feedback.read(given(item=2)))
    assert [line["item"] for line in lines(tmp_path)] == [0, 2]


def test_where_it_is_shipped_no_more_is_taken_than_the_disk_has_room_for(tmp_path: Path) -> None:
    feedback = Feedback(tmp_path, Label, "sums", 3, shipped=True, most_bytes=200)
    feedback.keep(feedback.read(given(item=1)))
    with pytest.raises(OSError, match="not shipped yet"):
        feedback.keep(feedback.read(given(item=2)))
    assert [line["item"] for line in lines(tmp_path)] == [1]
    for file in tmp_path.rglob("*.ndjson"):
        file.unlink()  # shipped
    feedback.keep(feedback.read(given(item=9)))
    assert [line["item"] for line in lines(tmp_path)] == [9]


def test_the_log_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    feedback = Feedback(tmp_path, Label, "sums", 3)
    feedback.keep(feedback.read(given()))
    (file,) = tmp_path.rglob("*.ndjson")
    assert file.stat().st_mode & 0o077 == 0
    assert file.parent.stat().st_mode & 0o077 == 0


def test_without_a_folder_nothing_is_kept() -> None:
    assert not Feedback(None, Label, "sums", 3).is_kept
