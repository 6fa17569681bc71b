"""Scoring a batch: every row once, answered as the service would, or in quarantine with the reason and masked."""

from __future__ import annotations

import csv
import fcntl
import json
import shutil
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import BaseModel

from bakehouse import archives
from bakehouse.errors import ConfigurationError, DataError, ReleaseError
from bentos.common import scoring_parts
from bentos.common.predictor import Pipeline, RefusedError
from bentos.common.raw_lines import Line
from bentos.common.room import load_room
from bentos.common.scoring import Scorer, arrow_type
from bentos.common.scoring_files import Part, Plan, documents, plan
from bentos.common.scoring_parts import GRAPH, QUARANTINE, Job, Report
from bentos.common.session import OnnxModel
from bentos.orders.service import Orders
from steps.score import score_plan
from tests.order_documents import order

VERSION = 3
SERVED = cast("Any", Orders).inner
DATA_VERSION = "2026-11-21"
COLUMNS = ["file", "row", "order_id", "anomaly", "label", "score", "model_version", "data_version"]


def orders(count: int) -> list[dict[str, Any]]:
    lines = order()["lines"]
    return [
        order(order_id=f"{536_000 + number}", lines=[{**lines[0], "quantity": number + 1}, *lines[1:]])
        for number in range(count)
    ]


def write(path: Path, documents: Sequence[dict[str, Any]]) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(list(documents)), path, row_group_size=10)
    elif path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, documents[0])
            writer.writeheader()
            plain = {"order_id", "time", "country", "currency", "note"}
            for document in documents:
                writer.writerow({k: v if k in plain else json.dumps(v) for k, v in document.items()})
    else:
        path.write_text("".join(json.dumps(document) + "\n" for document in documents))
    return path


def score(path: Path, graph: Path, folder: Path, **changes: Any) -> tuple[Path, Report]:
    planned = plan([path], DATA_VERSION, part_bytes=5_000)
    options: dict[str, Any] = {"model_version": VERSION, "model_digest": archives.digest(graph), "workers": 2} | changes
    target, report, _ = score_plan(planned, graph, folder, "orders", **options)
    return target, report


def job_of(planned: Plan, graph: Path, folder: Path) -> Job:
    return Job(
        model="orders",
        model_version=VERSION,
        model_digest=archives.digest(graph),
        data_version=planned.data_version,
        folder=folder,
    )


def read(target: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(target).to_pylist()
    return sorted(rows, key=lambda row: row["row"])


def quarantined(target: Path) -> list[dict[str, Any]]:
    lines = [line for file in sorted((target / QUARANTINE).iterdir()) for line in file.read_text().splitlines()]
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize("suffix", ["ndjson", "csv", "parquet"])
def test_every_row_is_answered_once_as_the_service_answers_it(suffix: str, graph: Path, tmp_path: Path) -> None:
    documents = orders(45)
    target, report = score(write(tmp_path / f"batch.{suffix}", documents), graph, tmp_path / "out")
    rows = read(target)
    assert list(rows[0]) == COLUMNS
    assert [row["row"] for row in rows] == list(range(1, 46))
    assert {(row["file"], row["model_version"], row["data_version"]) for row in rows} == {
        (f"batch.{suffix}", VERSION, DATA_VERSION)
    }
    served = Pipeline(SERVED(), OnnxModel(graph), VERSION).predict(json.dumps(documents).encode())
    answers = [response.model_dump() for response in served.responses]
    assert [{name: row[name] for name in answers[0]} for row in rows] == answers
    assert (report.rows, report.scored, report.refused) == (45, 45, 0)
    assert len(report.parts) > 1


def test_bad_rows_are_in_quarantine_with_number_field_and_reason_and_masked(graph: Path, tmp_path: Path) -> None:
    good, line = orders(40), json.dumps
    customer = {**good[0]["customer"], "email": "leak@example.org", "name": "Leaky Name"}
    bad = [line({**good[7], "country": "Atlantis", "customer": customer}), "{no json leak@example.org", ""]
    lines = [line(document) for document in good]
    lines[7], lines[20], lines[33] = bad
    path = tmp_path / "batch.ndjson"
    path.write_text("\n".join(lines) + "\n")
    target, report = score(path, graph, tmp_path / "out")
    assert sorted(row["row"] for row in read(target)) == [n for n in range(1, 41) if n not in (8, 21, 34)]
    refused = quarantined(target)
    assert [(one["file"], one["row"], one["reasons"][0]["field"]) for one in refused] == [
        ("batch.ndjson", 8, "country"),
        ("batch.ndjson", 21, "(document)"),
        ("batch.ndjson", 34, "(document)"),
    ]
    assert [one["reasons"][0]["reason"] for one in refused[1:]] == ["Not JSON: key must be a string", "Blank line"]
    assert refused[0]["record"]["customer"]["email"].startswith("email:")
    everything = "".join(file.read_text(errors="replace") for file in target.rglob("*") if file.is_file())
    assert "leak@example.org" not in everything and "Leaky Name" not in everything
    assert (report.scored, report.refused, sum(count for _, _, count in report.reasons)) == (37, 3, 3)


def test_names_of_the_file_that_are_kept_stand_beside_the_answers(graph: Path, tmp_path: Path) -> None:
    documents = [{**document, "batch": number, "site": "x"} for number, document in enumerate(orders(5))]
    path = write(tmp_path / "batch.ndjson", documents)
    target, report = score(path, graph, tmp_path / "out", keep=["batch"], ignore=["site"])
    assert [row["batch"] for row in read(target)] == ["0", "1", "2", "3", "4"]
    assert report.keep == ("batch",)


def test_workers_and_a_cluster_exclude_each_other(graph: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "batch.ndjson", orders(3))
    with pytest.raises(ConfigurationError, match="workers and cluster exclude each other"):
        score(path, graph, tmp_path / "out", workers=2, cluster="tcp://127.0.0.1:8786")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("keep", "said"), [("customer", "personal data"), ("score", "already")])
def test_what_can_not_be_kept_is_refused(keep: str, said: str, graph: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "batch.ndjson", orders(3))
    with pytest.raises(ConfigurationError, match=f"{keep}.*{said}"):
        score(path, graph, tmp_path / "out", keep=(keep,))


def test_a_column_that_nobody_knows_is_named_before_anything_is_scored(graph: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "batch.parquet", [{**document, "odd": 1} for document in orders(3)])
    with pytest.raises(DataError, match=r"columns that the contract does not know: odd\. Name them under keep"):
        score(path, graph, tmp_path / "out")


def test_a_file_of_which_the_contract_takes_nothing_is_no_result(graph: Path, tmp_path: Path) -> None:
    path = tmp_path / "batch.ndjson"
    path.write_text('{"text": "another model\'s"}\n' * 3)
    with pytest.raises(DataError, match="takes none of the 3 rows"):
        score(path, graph, tmp_path / "out")
    assert not [entry for entry in (tmp_path / "out").iterdir() if not entry.name.startswith(".")]


def test_what_is_scored_already_is_not_scored_again(graph: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "batch.ndjson", orders(30))
    target, report = score(path, graph, tmp_path / "out")
    before = {file: file.stat().st_mtime_ns for file in target.rglob("*")}
    assert score(path, graph, tmp_path / "out") == (target, report)
    assert {file: file.stat().st_mtime_ns for file in target.rglob("*")} == before


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"keep": ["batch"]}, "other names to keep"),
        ({"ignore": ["site"]}, "other names to ignore"),
        ({"keep": ["a"], "ignore": ["b"]}, "other names to keep and other names to ignore"),
    ],
)
def test_what_was_scored_otherwise_is_not_the_answer(
    changes: dict[str, Any], said: str, graph: Path, tmp_path: Path
) -> None:
    path = write(tmp_path / "batch.ndjson", orders(3))
    score(path, graph, tmp_path / "out")
    with pytest.raises(DataError, match=f"was scored with {said}"):
        score(path, graph, tmp_path / "out", **changes)


def test_other_files_or_another_graph_under_the_names_of_old_ones_are_refused(graph: Path, tmp_path: Path) -> None:
    """Whoever gives the version says that these are the files; a hash says whether they are."""
    path = write(tmp_path / "batch.ndjson", orders(3))
    _, report = score(path, graph, tmp_path / "out")
    assert [(file.name, file.size) for file in report.files] == [("batch.ndjson", path.stat().st_size)]
    content = path.read_bytes()
    path.write_bytes(content.replace(b"536001", b"536009"))
    assert path.stat().st_size == len(content)
    with pytest.raises(DataError, match="was scored with other files"):
        score(path, graph, tmp_path / "out")
    path.write_bytes(content)
    with pytest.raises(DataError, match="was scored with other model file"):
        score(path, graph, tmp_path / "out", model_digest="sha256:" + "0" * 64)


def test_a_folder_that_is_no_result_is_refused_before_anything_is_scored(
    graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "batch.ndjson", orders(3))
    target = tmp_path / "out" / f"orders-{VERSION}-{DATA_VERSION}"
    target.mkdir(parents=True)
    (target / "part-00000.parquet").write_text("somebody else's")
    monkeypatch.delattr(scoring_parts, "score_part")
    with pytest.raises(DataError, match=r"is no finished scoring\. Remove it"):
        score(path, graph, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == [target]


def test_a_run_that_comes_when_another_has_just_published_takes_its_result(
    graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It asked for the lock when nothing was published, and got it when all was."""
    path = write(tmp_path / "batch.ndjson", orders(3))
    lock = fcntl.flock
    meanwhile: list[tuple[Path, Report]] = []

    def late(*arguments: Any) -> None:
        monkeypatch.setattr(fcntl, "flock", lock)
        meanwhile.append(score(path, graph, tmp_path / "out"))
        lock(*arguments)

    monkeypatch.setattr(fcntl, "flock", late)
    found = score(path, graph, tmp_path / "out")
    assert [found] == meanwhile
    assert list((tmp_path / "out").iterdir()) == [found[0]]


def test_a_part_that_two_threads_write_at_once_is_whole(
    graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a cluster that goes on with the tasks of a client that was killed, while the next run is on it."""
    path = write(tmp_path / "batch.ndjson", orders(30))
    planned = plan([path], DATA_VERSION)
    job = job_of(planned, graph, tmp_path / "out")
    both = threading.Barrier(2, timeout=30)

    def together(part: Part, request: type[BaseModel], key: bytes) -> Iterator[list[Line]]:
        for batch in documents(part, request, key, size=1_000):
            both.wait()
            yield batch

    with scoring_parts.owned(job, planned, tmp_path / "target"):
        shutil.copyfile(graph, job.folder / GRAPH)
        monkeypatch.setattr(scoring_parts, "documents", together)
        with ThreadPoolExecutor(2) as pool:
            first, second = pool.map(scoring_parts.score_part, [job, job], [planned.parts[0]] * 2)
        report = scoring_parts.publish(job, planned, [first], tmp_path / "target")
    assert first == second
    assert [row["row"] for row in read(tmp_path / "target")] == list(range(1, 31))
    assert report.scored == 30


def test_a_run_leaves_alone_what_another_is_still_writing_and_publishes_none_of_it(graph: Path, tmp_path: Path) -> None:
    planned = plan([write(tmp_path / "batch.ndjson", orders(3))], DATA_VERSION)
    job = job_of(planned, graph, tmp_path / "out")
    (job.folder / QUARANTINE).mkdir(parents=True)
    others = [job.folder / ".part-00000.parquet.7.partial", job.folder / QUARANTINE / ".part-00000.ndjson.7.partial"]
    for other in others:
        other.touch()
    with scoring_parts.owned(job, planned, tmp_path / "target"):
        assert all(other.exists() for other in others)
        shutil.copyfile(graph, job.folder / GRAPH)
        scoring_parts.publish(job, planned, [scoring_parts.score_part(job, planned.parts[0])], tmp_path / "target")
    names = sorted(entry.name for entry in (tmp_path / "target").rglob("*"))
    assert names == ["_SUCCESS", QUARANTINE, "part-00000.parquet"]


def test_a_part_that_is_damaged_is_scored_again(graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "batch.ndjson", orders(30))

    def stopped(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(scoring_parts, "publish", stopped)
        with pytest.raises(KeyboardInterrupt):
            score(path, graph, tmp_path / "out")
    (partial,) = (tmp_path / "out").iterdir()
    damaged, whole = sorted(partial.glob("*.parquet"))[:2]
    damaged.write_bytes(damaged.read_bytes()[:-50])
    kept = whole.stat().st_mtime_ns
    target, _ = score(path, graph, tmp_path / "out")
    assert [row["row"] for row in read(target)] == list(range(1, 31))
    assert (target / whole.name).stat().st_mtime_ns == kept


def test_two_runs_do_not_write_one_result(graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "batch.ndjson", orders(3))
    said: list[str] = []
    publish = scoring_parts.publish

    def meanwhile(*arguments: Any) -> Report:
        with pytest.raises(DataError) as error:
            score(path, graph, tmp_path / "out")
        said.append(str(error.value))
        return publish(*arguments)

    monkeypatch.setattr(scoring_parts, "publish", meanwhile)
    score(path, graph, tmp_path / "out")
    assert "Another run is writing" in said[0]


def test_a_file_that_changes_while_it_is_scored_gives_no_result(graph: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "batch.ndjson", orders(10))
    planned = plan([path], DATA_VERSION)
    path.write_bytes(path.read_bytes().replace(b"}\n", b"} \n", 4).replace(b"\n", b" ", 1))
    with pytest.raises(DataError, match="It was changed meanwhile"):
        score_plan(planned, graph, tmp_path / "out", "orders", 1, archives.digest(graph))


def test_a_graph_of_another_digest_is_refused(graph: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "batch.ndjson", orders(3))
    with pytest.raises(ReleaseError, match="its release says sha256:00"):
        score(path, graph, tmp_path / "out", model_digest="sha256:" + "0" * 64)


def test_a_row_that_features_refuse_or_that_is_too_large_is_in_quarantine(
    graph: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer = Scorer(load_room("orders"), graph, archives.digest(graph), 1, b"k" * 32)
    arrays = SERVED.arrays

    def refusing(room: Any, requests: Sequence[Any]) -> Any:
        unknown = [place for place, request in enumerate(requests) if request.order_id == "536001"]
        if unknown:
            raise RefusedError(404, [{"field": f"{unknown[0]}.student_id", "reason": "Nothing is known of it"}])
        made = arrays(room, requests)
        made["features"][[request.order_id == "536003" for request in requests]] = float("inf")
        return made

    monkeypatch.setattr(SERVED, "arrays", refusing)
    scored = scorer.score([json.dumps(document).encode() for document in orders(5)])
    assert list(scored.places) == [0, 2, 4]
    assert scored.answers["order_id"].to_pylist() == ["536000", "536002", "536004"]
    assert [(one.place, one.reasons[0][1]) for one in scored.refusals] == [
        (1, "Nothing is known of it"),
        (3, "Numbers in it are too large to compute with"),
    ]
    assert scored.refusals[0].document["reasons"] == [{"field": "student_id", "reason": "Nothing is known of it"}]
    assert scored.refusals[0].document["record"]["customer"].keys() == {"id", "email", "phone", "address"}


@pytest.mark.parametrize("count", [1, 3])
def test_a_feature_store_that_is_away_stops_the_batch_and_refuses_no_row(
    count: int, graph: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer = Scorer(load_room("orders"), graph, archives.digest(graph), 1, b"k" * 32)

    def away(*_: Any) -> Any:
        raise RefusedError(503, [{"field": "(feature store)", "reason": "It can't be read just now"}])

    monkeypatch.setattr(SERVED, "arrays", away)
    with pytest.raises(DataError, match=r"\(feature store\): It can't be read just now.*Run again"):
        scorer.score([json.dumps(document).encode() for document in orders(count)])


def test_a_response_of_any_shape_has_a_column() -> None:
    class Inner(BaseModel):
        value: float
        kind: Literal["early", "late"]

    assert arrow_type(Inner | None) == pa.struct([("value", pa.float64()), ("kind", pa.string())])
    assert arrow_type(list[Inner]).value_type == arrow_type(Inner)
    assert arrow_type(dict[str, bool]) == pa.map_(pa.string(), pa.bool_())
    with pytest.raises(ConfigurationError, match="no column in Parquet"):
        arrow_type(str | int)
