"""What the end-to-end tests of the pipeline share: one warmed-up process that runs it, and the batches it runs on."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import pytest
import yaml

from tests.warm_pipeline import Ended, WarmPipeline


class Train(Protocol):
    """Run the training pipeline on these batches, with as few trials as show that it works. `kill` names the step,
    or the function, after whose work the run is killed."""

    def __call__(self, *batches: Path, kill: str = "", **parameters: Any) -> Ended: ...


@pytest.fixture(scope="module", autouse=True)
def without_coverage(unmeasured: None) -> None:
    """Other tests measure the same code in less time."""


@pytest.fixture(scope="session")
def warm_pipeline(settings: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarmPipeline]:
    folder = tmp_path_factory.mktemp("warm")
    chosen = {name: value.replace("{state}", str(folder / "state")) for name, value in settings.items()}
    running = WarmPipeline(chosen, folder / "log.txt")
    yield running
    running.close()


@pytest.fixture(scope="session")
def new_databases(
    warm_pipeline: WarmPipeline, settings: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A state folder in which ZenML and MLflow have made their databases and nothing else. It takes seconds."""
    from mlflow import MlflowClient

    state = tmp_path_factory.mktemp("databases") / "state"
    (state / "mlflow").mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value.replace("{state}", str(state)))
        assert warm_pipeline.run(["stack", "list"], state / "output.txt").code == 0
    database = f"sqlite:///{state / 'mlflow' / 'mlflow.db'}"
    MlflowClient(tracking_uri=database, registry_uri=database).search_registered_models()
    return state


@pytest.fixture
def train(
    warm_pipeline: WarmPipeline,
    new_databases: Path,
    state: Path,
    tmp_path: Path,
    checkout: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Train:
    for database in ("zenml/local_stores/default_zen_store/zenml.db", "mlflow/mlflow.db"):
        (state / database).parent.mkdir(parents=True)
        shutil.copyfile(new_databases / database, state / database)
    monkeypatch.chdir(checkout)

    def run(*batches: Path, kill: str = "", **parameters: Any) -> Ended:
        chosen = {"model": "orders", "batches": [str(batch) for batch in batches], "trials": 2, "seed": 7}
        file = tmp_path / "run.yaml"
        file.write_text(yaml.safe_dump({"parameters": chosen | {"release_to": "staging"} | parameters}))
        arguments = ["pipeline", "run", "pipelines.training.training", "-c", str(file)]
        return warm_pipeline.run(arguments, tmp_path / "output.txt", kill)

    return run


@pytest.fixture(scope="session")
def batches(checkout: Path) -> Sequence[Path]:
    """The batches that ship, in order of time."""
    return sorted((checkout / "data/orders").glob("batch-*.ndjson"))
