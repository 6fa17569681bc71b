"""Batch scoring, from the command that a person types: killed in the middle, on a cluster of processes, refused."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pyarrow.parquet as pq
import pytest
import yaml

from bakehouse import workspace
from bakehouse.errors import ConfigurationError
from bentos.common.packaging import BuiltBento
from bentos.common.scoring_files import plan
from bentos.common.scoring_parts import MANIFEST, QUARANTINE
from gitops.release import Image
from gitops.repository import GitopsRepository
from steps.score import score_plan
from tests.gitops_world import commit_files, release
from tests.served import orders_bento
from tests.warm_pipeline import Ended, WarmPipeline

PART_BYTES = 10_000
SECONDS = 240
KILLED = """
import sys
from pathlib import Path
from bentos.common.scoring_files import plan
from steps.score import score_plan
batch, graph, folder, digest, part_bytes = sys.argv[1:]
planned = plan([Path(batch)], part_bytes=int(part_bytes))
score_plan(planned, Path(graph), Path(folder), "orders", 1, digest)
"""


class Score(Protocol):
    """Type the batch scoring pipeline's command, with parameters that replace the usual ones."""

    def __call__(self, **parameters: Any) -> Ended: ...


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, settings: dict[str, str]) -> BuiltBento:
    folder = tmp_path_factory.mktemp("released")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BAKEHOUSE_STATE", str(folder / "state"))
        return orders_bento(folder)[0]


@pytest.fixture
def score(
    warm_pipeline: WarmPipeline,
    new_databases: Path,
    built: BuiltBento,
    state: Path,
    tmp_path: Path,
    checkout: Path,
    batch: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Score:
    """Version 1 of orders is released to staging, from a bento that is built without training."""
    database = "zenml/local_stores/default_zen_store/zenml.db"
    (state / database).parent.mkdir(parents=True)
    shutil.copyfile(new_databases / database, state / database)
    shutil.copyfile(built.archive, workspace.images() / f"{built.digest.removeprefix('sha256:')}.bento")
    image = Image(name="bakehouse/orders", tag="1", digest=built.digest)
    document = release(1).model_copy(update={"model_digest": built.model_digest, "image": image})
    files = {f"environments/staging/orders/release/{name}": text for name, text in document.files().items()}
    commit_files(GitopsRepository.open(), files)
    monkeypatch.chdir(checkout)

    def run(**parameters: Any) -> Ended:
        chosen = {
            "model": "orders",
            "environment": "staging",
            "files": [str(batch)],
            "output": str(tmp_path / "scored"),
            "workers": 2,
        }
        file = tmp_path / "scoring.yaml"
        file.write_text(yaml.safe_dump({"parameters": chosen | parameters}))
        arguments = ["pipeline", "run", "pipelines.batch_scoring.batch_scoring", "-c", str(file)]
        return warm_pipeline.run(arguments, tmp_path / "output.txt")

    return run


@pytest.fixture
def batch(checkout: Path) -> Path:
    """A batch of the shop's, which has refused rows in it."""
    return checkout / "data/orders/batch-1.ndjson"


@pytest.fixture
def graph(built: BuiltBento) -> Path:
    return built.archive.parent / "model.onnx"


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a Dask cluster of two processes."""
    from distributed import LocalCluster

    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with LocalCluster(host="127.0.0.1", **options) as running:
        yield running.scheduler_address


def rows(target: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(target).to_pylist()
    return sorted(found, key=lambda row: row["row"])


def numbers(target: Path) -> list[int]:
    """Of every row, whether scored or quarantined, each as often as it is there."""
    refused = [json.loads(line) for file in (target / QUARANTINE).iterdir() for line in file.open()]
    return sorted([row["row"] for row in rows(target)] + [one["row"] for one in refused])


def test_the_command_scores_a_batch_with_the_released_model_and_says_what_it_cost(
    score: Score, batch: Path, tmp_path: Path
) -> None:
    ended = score(price_per_core_hour=0.05)
    assert ended.code == 0, ended.output
    (target,) = (tmp_path / "scored").iterdir()
    assert numbers(target) == list(range(1, len(batch.read_bytes().splitlines()) + 1))
    version = plan([batch]).data_version
    assert {(row["model_version"], row["data_version"]) for row in rows(target)} == {(1, version)}
    manifest = json.loads((target / MANIFEST).read_text())
    assert (manifest["scored"], manifest["refused"]) == (len(rows(target)), 12)
    assert "core-µs a row" in ended.output and "a million rows at 0.05 a core hour" in ended.output
    again = score()
    assert again.code == 0
    assert "nothing was left to score" in again.output


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"modle": "orders"}, "parameters.modle (did you mean parameters.model?)"),
        ({"environment": "production"}, "production has no release of orders"),
        ({"cluster": "tcp://127.0.0.1:8786"}, "workers and cluster exclude each other"),
    ],
)
def test_what_can_not_be_scored_is_one_line_with_what_to_do(
    parameters: dict[str, Any], said: str, score: Score, tmp_path: Path
) -> None:
    ended = score(**parameters)
    assert ended.code == 1
    assert said in " ".join(ended.output.split())
    assert "Traceback" not in ended.output
    assert not list(tmp_path.glob("scored/[!.]*"))


def test_a_run_killed_in_the_middle_is_taken_up_and_no_row_is_scored_twice(
    built: BuiltBento, graph: Path, batch: Path, tmp_path: Path, checkout: Path
) -> None:
    planned = plan([batch], part_bytes=PART_BYTES)
    out = tmp_path / "out"
    arguments = [str(batch), str(graph), str(out), built.model_digest, str(PART_BYTES)]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    process = subprocess.Popen([sys.executable, "-c", KILLED, *arguments], cwd=checkout, env=environment)
    deadline = time.monotonic() + SECONDS
    while len(written := list(out.glob(".*/part-*.parquet"))) < 3 and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    assert process.wait(SECONDS) == -signal.SIGKILL
    assert not list(out.glob("[!.]*"))
    before = {file.name: file.stat().st_mtime_ns for file in out.glob(".*/part-*.parquet")}
    assert len(written) <= len(before) < len(planned.parts)
    target, report, cost = score_plan(planned, graph, out, "orders", 1, built.model_digest)
    assert numbers(target) == list(range(1, report.rows + 1))
    assert {name: (target / name).stat().st_mtime_ns for name in before} == before
    assert 0 < cost.rows < report.rows
    assert not list(target.rglob(".*"))
    assert [entry.name for entry in out.iterdir()] == [target.name]


def test_a_cluster_of_processes_writes_what_threads_write(
    cluster: str, built: BuiltBento, graph: Path, batch: Path, tmp_path: Path
) -> None:
    planned = plan([batch], part_bytes=100_000)
    released = ("orders", 1, built.model_digest)
    by_threads = score_plan(planned, graph, tmp_path / "threads", *released, workers=2)
    by_processes = score_plan(planned, graph, tmp_path / "processes", *released, cluster=cluster)
    assert rows(by_processes[0]) == rows(by_threads[0])
    assert by_processes[1] == by_threads[1]
    assert by_processes[2].workers == 2


def test_a_cluster_that_is_not_there_is_named(built: BuiltBento, graph: Path, batch: Path, tmp_path: Path) -> None:
    planned = plan([batch])
    with pytest.raises(ConfigurationError, match="No Dask cluster answers at nonsense"):
        score_plan(planned, graph, tmp_path, "orders", 1, built.model_digest, cluster="nonsense://127.0.0.1:1")
