"""What the training pipeline leaves behind when it is killed, refused, fed with dirt, or robbed of its databases."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from zenml.steps import BaseStep

from bakehouse import archives
from gitops import holds
from gitops.environment import Place
from gitops.history import champion, releases
from gitops.release import Release
from gitops.repository import GitopsRepository
from pipelines import training
from steps import registry, tracking
from tests.e2e.conftest import Train

# Every step of the pipeline, the release as the last; and in the middle of registering.
STEPS = [name for name, value in vars(training).items() if isinstance(value, BaseStep) and name != "release"]
MOMENTS = [*STEPS, "steps.registry.log", "release"]
WHOLE_RELEASE = {"kustomization.yaml", "release/kustomization.yaml", "release/model.sig", "release/release.json"}


def in_staging() -> Release | None:
    return champion(GitopsRepository.open(), "staging", "orders")


def released_files(repository: GitopsRepository) -> set[str]:
    return {
        path.removeprefix("environments/staging/orders/")
        for path in repository.at().under("environments/staging/orders")
    }


def documents(batch: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in batch.read_text().splitlines()]


def write(path: Path, *lines: bytes) -> Path:
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


@pytest.mark.long
def test_a_run_killed_at_any_step_leaves_no_half_release_and_the_next_one_runs(
    train: Train, batches: Sequence[Path], state: Path
) -> None:
    """The same state sees a run killed after the work of each step in turn, and between logging and registering the
    graph: each runs over the debris of the last."""
    commits: list[str] = []
    assert len(STEPS) > 10
    for step in MOMENTS:
        ended = train(batches[0], kill=step)
        assert ended.code == -signal.SIGKILL, ended.output
        repository = GitopsRepository.open()
        subprocess.run(["git", "-C", state / "gitops.git", "fsck", "--strict"], check=True, capture_output=True)
        assert released_files(repository) == (WHOLE_RELEASE if step == "release" else set()), step
        commits.append(repository.head())
    assert len(set(commits[:-1])) == 1
    killed_last = in_staging()
    assert killed_last is not None
    # The runs killed in register and in package had used up a number each.
    assert killed_last.model_version == 3

    ended = train(batches[0])
    assert ended.code == 0, ended.output
    latest = in_staging()
    assert latest is not None
    assert (latest.model_version, latest.evidence.champion) == (4, 3)
    entries = releases(GitopsRepository.open(), "staging", "orders")
    assert [entry.model_version for entry in entries] == [4, 3]
    assert entries[1].commit.sha == commits[-1]


def test_a_run_killed_between_the_push_and_the_aliases_has_released_and_the_next_one_goes_on(
    train: Train, batches: Sequence[Path]
) -> None:
    ended = train(batches[0], kill="gitops.promotion.commit_release")
    assert ended.code == -signal.SIGKILL, ended.output
    first = in_staging()
    assert first is not None
    client = tracking.client()
    assert client.get_registered_model("orders").aliases == {}
    assert client.get_run(first.run.mlflow).info.status == "RUNNING"

    ended = train(batches[0])
    assert ended.code == 0, ended.output
    second = in_staging()
    assert second is not None
    assert (second.model_version, second.evidence.champion) == (2, 1)
    assert int(client.get_model_version_by_alias("orders", "staging").version) == 2
    assert client.get_run(second.run.mlflow).info.status == "FINISHED"


def test_a_candidate_that_misses_gates_is_told_every_one_of_them_and_nothing_is_released(
    train: Train, batches: Sequence[Path], checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "stricter"
    shutil.copytree(checkout / "bentos", root / "bentos")
    shutil.copytree(checkout / "environments", root / "environments")
    file = root / "bentos/orders/problem.yaml"
    problem = yaml.safe_load(file.read_text())
    problem["gates"]["anomaly_rate"] |= {"target": 0.9, "tolerance": 0.01}
    problem["gates"]["mean_average_precision"]["at_least"] = 0.999
    file.write_text(yaml.safe_dump(problem))
    monkeypatch.setenv("BAKEHOUSE_ROOT", str(root))
    holds.hold(GitopsRepository.open(), Place("staging", "orders"), "stocktaking")
    before = GitopsRepository.open().head()

    ended = train(batches[0])

    assert ended.code == 1
    assert "orders is not released: 3 gates missed:" in ended.output
    misses = [line for line in ended.output.splitlines() if line.startswith("  - ")]
    assert [miss.split()[1:3] for miss in misses] == [
        ["no_hold", "missed:"],
        ["anomaly_rate", "missed:"],
        ["mean_average_precision", "missed:"],
    ]
    assert all("(set in bentos/orders/problem.yaml: gates." in miss for miss in misses[1:])
    assert "(set in environments/staging/orders/hold.yaml)" in misses[0]
    assert "Traceback" not in ended.output
    assert GitopsRepository.open().fetch() == before
    client = tracking.client()
    assert client.search_model_versions("name = 'orders'") == []
    (run,) = client.search_runs([tracking.experiment(client, "orders")], "attributes.status = 'FAILED'")
    assert len(run.data.tags["misses"].splitlines()) == 3
    assert run.data.tags["zenml_run"]
    assert {file.path for file in client.list_artifacts(run.info.run_id, "reports")} >= {"reports/profile.html"}


def test_both_databases_deleted_are_filled_again_and_numbering_goes_on(
    train: Train, batches: Sequence[Path], state: Path, tmp_path: Path
) -> None:
    assert train(batches[0]).code == 0
    first = in_staging()
    assert first is not None
    shutil.rmtree(state / "zenml")
    shutil.rmtree(state / "mlflow")

    ended = train(*batches[:2])

    assert ended.code == 0, ended.output
    second = in_staging()
    assert second is not None
    assert (second.model_version, second.evidence.champion) == (2, 1)
    restored = tracking.client().get_model_version("orders", "1")
    assert restored.tags["data_version"] == first.data.version
    (graph,) = registry.download("orders", 1, tmp_path / "restored").rglob("model.onnx")
    assert archives.digest(graph) == first.model_digest
    assert int(tracking.client().get_model_version_by_alias("orders", "staging").version) == 2


def test_dirt_among_the_orders_is_quarantined_with_its_reason_and_the_run_goes_on(
    train: Train, batches: Sequence[Path], state: Path, tmp_path: Path
) -> None:
    lines = batches[0].read_bytes().splitlines()
    order = documents(batches[0])[0]
    dirt = {
        b'{"order_id": "536365", "time": ': "(document)",
        json.dumps(order).replace("United Kingdom", "Österreich").encode("latin-1"): "(document)",
        lines[0]: "(document)",
        json.dumps(order | {"order_id": "900001", "time": "2999-01-01T00:00:00Z"}).encode(): "time",
        json.dumps(order | {"order_id": "900002", "lines": []}).encode(): "lines",
        json.dumps(order | {"order_id": "900003", "currency": None}).encode(): "currency",
        b'{"order_id": "900004", "note": "' + b"x" * 10_000_000 + b'"}': "(document)",
        b"": "(document)",
    }
    dirty = write(tmp_path / "dirty.ndjson", *lines, *dirt)
    ended = train(dirty)
    assert ended.code == 0, ended.output
    quarantine = documents(state / "processed/orders_quarantine.ndjson")
    told = {one["line"]: {reason["field"] for reason in one["reasons"]} for one in quarantine}
    for number, field in enumerate(dirt.values(), start=len(lines) + 1):
        assert field in told[number]
    assert all(reason["reason"] for one in quarantine for reason in one["reasons"])
    release = in_staging()
    assert release is not None
    assert release.data.documents == len(lines) + len(dirt)
    assert release.data.accepted == release.data.documents - len(quarantine)


def test_too_much_dirt_stops_the_run_at_the_door_with_the_reasons(
    train: Train, batches: Sequence[Path], state: Path, tmp_path: Path
) -> None:
    lines = batches[0].read_bytes().splitlines()
    ended = train(write(tmp_path / "broken.ndjson", *(line[:-2] for line in lines)))
    assert ended.code == 1
    assert "acceptance_rate missed: 0, must be >=" in ended.output
    assert f"Refused: {len(lines)} with (document)" in ended.output
    assert "Traceback" not in ended.output
    assert "Step train" not in ended.output
    assert not (state / "gitops.git").exists() or in_staging() is None


@pytest.mark.parametrize("content", [None, b""])
def test_a_batch_that_is_missing_or_empty_is_named(
    content: bytes | None, train: Train, batches: Sequence[Path], tmp_path: Path
) -> None:
    batch = tmp_path / "late.ndjson"
    if content is not None:
        batch.write_bytes(content)
    ended = train(batches[0], batch)
    assert ended.code == 1
    assert (
        "The batch late.ndjson is empty" if content is not None else f"No file is there for {batch}"
    ) in ended.output
    assert "Traceback" not in ended.output
