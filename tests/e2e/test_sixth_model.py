"""To add a model is to add a folder: a room that nothing else has heard of is trained, released and served."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import httpx
import pytest

from bakehouse import archives, workspace
from bentos.orders.contract import EXAMPLE
from gitops.history import champion
from gitops.repository import GitopsRepository
from tests.checkout_copy import copy_checkout
from tests.served import serve

MODEL = "returns"


@pytest.fixture
def house(tmp_path: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the checkout with one more room: that of orders under another name. No other file is touched."""
    house = copy_checkout(checkout, tmp_path / "house", monkeypatch)
    shutil.copytree(house / "data/orders", house / "data" / MODEL)
    for source in (house / "bentos/orders").iterdir():
        target = house / "bentos" / MODEL / source.name
        target.parent.mkdir(exist_ok=True)
        renamed = source.read_text().replace("bentos.orders", f"bentos.{MODEL}").replace("data/orders", f"data/{MODEL}")
        target.write_text(renamed.replace("model: orders", f"model: {MODEL}"))
    monkeypatch.chdir(house)
    return house


def test_a_model_that_only_adds_its_folder_is_trained_released_and_served(house: Path, tmp_path: Path) -> None:
    """The room of a sixth model is all that it needs, from raw documents to an answer over HTTP."""
    command = ["zenml", "pipeline", "run", "pipelines.training.training", "-c", f"bentos/{MODEL}/run.yaml"]
    run = subprocess.run(command, check=False, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout[-5000:] + run.stderr[-5000:]

    release = champion(GitopsRepository.open(), "staging", MODEL)
    assert release is not None
    assert (release.model, release.model_version) == (MODEL, 1)

    digest = release.image.digest
    bento = archives.unpack(workspace.images() / f"{digest.removeprefix('sha256:')}.bento", digest, tmp_path / "bento")
    with serve(bento, tmp_path / "serving") as service:
        assert httpx.get(f"{service.url}/release").json()["model"] == MODEL
        answer = httpx.post(f"{service.url}/predict", json=EXAMPLE)
        assert answer.status_code == 200, answer.text
        assert answer.json()["order_id"] == EXAMPLE["order_id"]
        assert answer.json()["model_version"] == 1
        assert -1 <= answer.json()["score"] <= 1
