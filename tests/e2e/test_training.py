"""The training pipeline, from the command that a person types to what can be looked up after the release commit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import pytest

from bakehouse import archives, workspace
from bentos.common.identity import GRAPH_FILE, Identity
from bentos.common.session import OnnxModel
from gitops.history import champion
from gitops.release import Release
from gitops.repository import GitopsRepository
from steps import data_versions, tracking
from steps.data_versions import DataVersion
from tests.e2e.conftest import Train


@dataclass(frozen=True)
class Typed:
    """What typing the README's command in a fresh state gave."""

    state: Path
    home: Path
    done: subprocess.CompletedProcess[str]
    before: set[Path]
    after: set[Path]


def places(checkout: Path) -> set[Path]:
    """What stands where tools leave things behind: at the root of the checkout, and beside its data."""
    return {*checkout.iterdir(), *(checkout / "data").rglob("*")}


@pytest.fixture(scope="session")
def typed(checkout: Path, settings: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Typed:
    state, home = tmp_path_factory.mktemp("typed") / "state", tmp_path_factory.mktemp("home")
    environment = {name: value.replace("{state}", str(state)) for name, value in settings.items()}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    before = places(checkout)
    done = subprocess.run(
        ["zenml", "pipeline", "run", "pipelines.training.training", "-c", "zenml_config.yaml"],
        cwd=checkout,
        env={"PATH": path, "HOME": str(home), "BAKEHOUSE_STATE": str(state), **environment},
        check=False,
        capture_output=True,
        text=True,
    )
    return Typed(state, home, done, before, places(checkout))


@pytest.fixture
def release(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> Release:
    """The release that the typed command made, with the workspace set to its state."""
    monkeypatch.setenv("BAKEHOUSE_STATE", str(typed.state))
    assert typed.done.returncode == 0, typed.done.stdout + typed.done.stderr
    found = champion(GitopsRepository.open(), "staging", "orders")
    assert found is not None
    return found


def test_the_command_of_the_readme_ends_in_a_first_release_that_says_there_was_no_champion(release: Release) -> None:
    assert (release.model, release.model_version) == ("orders", 1)
    assert release.evidence.champion is None
    assert "no champion" in release.evidence.champion_note
    assert all(gate.passed for gate in release.evidence.gates)
    named = {gate.name for gate in release.evidence.gates}
    assert {"acceptance_rate", "champion_at_hand", "parity_label_agreement", "anomaly_rate"} <= named
    assert any(name.startswith("data.") for name in named)


def test_the_release_names_data_that_can_be_fetched_byte_for_byte(release: Release, batches: Sequence[Path]) -> None:
    data = DataVersion(model="orders", version=release.data.version, files=release.data.files)
    (fetched,) = data_versions.files(data)
    assert fetched.read_bytes() == batches[0].read_bytes()
    assert release.data.documents == len(batches[0].read_bytes().splitlines())
    assert release.data.accepted <= release.data.documents


def test_the_release_names_an_image_that_holds_the_graph_it_names(release: Release, tmp_path: Path) -> None:
    archive = workspace.images() / f"{release.image.digest.removeprefix('sha256:')}.bento"
    bento = archives.unpack(archive, release.image.digest, tmp_path / "bento")
    (graph,) = bento.rglob(GRAPH_FILE)
    assert OnnxModel(graph, release.model_digest).outputs == ("label", "score")
    identity = Identity.of(graph.parent)
    assert (identity.model_version, identity.data_version) == (1, release.data.version)
    assert identity.code_commit == release.code.commit


def test_every_report_that_is_evidence_can_be_read_by_its_digest(release: Release) -> None:
    kept = release.evidence.reports
    assert set(kept) == {"expectations.json", "expectations.html", "profile.html", "model.html", "model_card.md"}
    for name, digest in kept.items():
        report = workspace.reports() / f"{digest.removeprefix('sha256:')}{Path(name).suffix}"
        assert archives.digest(report) == digest
    expectations = workspace.reports() / f"{kept['expectations.json'].removeprefix('sha256:')}.json"
    assert json.loads(expectations.read_text())["success"] is True


def test_the_registry_holds_the_version_with_its_lineage_signature_and_alias(release: Release) -> None:
    from mlflow.models import Model

    client = tracking.client()
    version = client.get_model_version_by_alias("orders", "staging")
    assert int(version.version) == release.model_version
    assert version.description.startswith("# Model card: ")
    assert version.run_id == release.run.mlflow
    assert version.tags["data_version"] == release.data.version
    assert version.tags["code_commit"] == release.code.commit
    assert version.tags["zenml_run"] == release.run.zenml
    assert version.tags["model_digest"] == release.model_digest
    model = Model.load(Path(unquote(urlparse(version.source).path)))
    assert [spec.name for spec in model.signature.inputs] == ["features"]
    assert model.saved_input_example_info is not None


def test_the_mlflow_run_holds_parameters_figures_reports_and_a_run_for_each_trial(release: Release) -> None:
    client = tracking.client()
    run = client.get_run(release.run.mlflow)
    assert run.info.status == "FINISHED"
    assert run.data.params["trials"] == "12"
    assert run.data.metrics["test_anomaly_rate"] == release.evidence.metrics["anomaly_rate"].value
    assert {file.path for file in client.list_artifacts(run.info.run_id)} >= {"estimator", "gates.json", "model"}
    trials = client.search_runs([run.info.experiment_id], f"tags.mlflow.parentRunId = '{run.info.run_id}'")
    assert len(trials) == 12


def test_masked_orders_are_left_where_a_person_looks_for_them(typed: Typed, release: Release) -> None:
    masked = (typed.state / "processed" / "orders_masked.ndjson").read_text().splitlines()
    assert len(masked) == release.data.accepted


def test_nothing_is_written_outside_the_state_folder(typed: Typed) -> None:
    assert [path for path in typed.home.rglob("*") if path.is_file()] == []
    assert typed.after == typed.before


def test_a_second_batch_is_compared_with_the_champion_on_the_same_rows_and_replaces_it(
    train: Train, batches: Sequence[Path]
) -> None:
    assert train(batches[0]).code == 0
    ended = train(*batches[:2])
    assert ended.code == 0, ended.output
    second = champion(GitopsRepository.open(), "staging", "orders")
    assert second is not None
    assert (second.model_version, second.evidence.champion) == (2, 1)
    assert second.evidence.metrics["mean_average_precision"].champion is not None
    assert [file.path for file in second.data.files] == ["batch-1.ndjson", "batch-2.ndjson"]
    assert int(tracking.client().get_model_version_by_alias("orders", "staging").version) == 2


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"trails": 3}, "parameters.trails (did you mean parameters.trials?)"),
        ({"trials": 0}, "trials: Input should be greater than or equal to 1"),
        ({"model": "ordres"}, "There is no model 'ordres'. The models are: "),
        ({"release_to": "stagign"}, "There is no environment stagign. There are: production, staging"),
    ],
)
def test_what_cannot_be_run_is_said_in_one_line_and_nothing_is_trained(
    parameters: dict[str, Any], said: str, train: Train, batches: Sequence[Path]
) -> None:
    ended = train(batches[0], **parameters)
    assert ended.code == 1
    assert said in ended.output
    assert "Traceback" not in ended.output
    assert "Step train" not in ended.output
