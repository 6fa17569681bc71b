"""What a release says of itself is enough to train it again: the same data, parameters and code give the same model."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from bentos.common.masking import KEY_VARIABLE
from gitops.history import champion
from gitops.lineage import lineage
from gitops.release import Release
from gitops.repository import GitopsRepository
from steps import tracking
from tests.conftest import Asked
from tests.e2e.conftest import Train


def released(environment: str = "staging", model: str = "orders") -> Release:
    found = champion(GitopsRepository.open(), environment, model)
    assert found is not None
    return found


def test_a_release_trained_again_elsewhere_from_its_lineage_is_the_same_model(
    train: Train,
    batches: Sequence[Path],
    settings: dict[str, str],
    new_databases: Path,
    bakehouse: Asked,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The data by the command that the lineage prints, seed and trials from the run that it names; in a state folder
    that has nothing of the first one's but the masking key, which a team shares: without it, tokens differ."""
    monkeypatch.setenv(KEY_VARIABLE, "k" * 32)
    ended = train(*batches[:2])
    assert ended.code == 0, ended.output
    first = released()
    (found,) = lineage(GitopsRepository.open(), "orders", "staging")
    (command,) = [part.command for part in found.parts if part.name == "data version"]
    bakehouse(*command.replace("FOLDER", str(tmp_path / "again")).split()[1:])
    parameters = tracking.client().get_run(first.run.mlflow).data.params

    elsewhere = tmp_path / "elsewhere"
    for database in ("zenml/local_stores/default_zen_store/zenml.db", "mlflow/mlflow.db"):
        (elsewhere / database).parent.mkdir(parents=True)
        shutil.copyfile(new_databases / database, elsewhere / database)
    for name, value in settings.items():
        monkeypatch.setenv(name, value.replace("{state}", str(elsewhere)))
    monkeypatch.setenv("BAKEHOUSE_STATE", str(elsewhere))
    ended = train(
        *sorted((tmp_path / "again").iterdir()), trials=int(parameters["trials"]), seed=int(parameters["seed"])
    )
    assert ended.code == 0, ended.output
    second = released()
    assert second.run != first.run
    assert second.data == first.data
    assert second.model_digest == first.model_digest
    assert second.evidence.test_digest == first.evidence.test_digest
    assert second.evidence.metrics == first.evidence.metrics
    assert second.evidence.choice == first.evidence.choice
