"""`bakehouse edge` of a released bento: which version it takes, what it refuses; and the service says the same."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bentos.common.packaging import BuiltBento
from gitops.promotion import commit_release
from gitops.release import Release
from gitops.repository import GitopsRepository
from tests import gitops_world
from tests.conftest import Asked
from tests.gitops_world import World
from tests.order_documents import order
from tests.served import orders_bento, serve

VERSION = 7


@dataclass(frozen=True)
class Made:
    """A bento of orders, packed and unpacked."""

    bento: BuiltBento
    unpacked: Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BAKEHOUSE_STATE", str(tmp_path_factory.mktemp("state")))
        return Made(*orders_bento(tmp_path_factory.mktemp("bento"), VERSION))


@pytest.fixture
def kept(made: Made, world: World, state: Path) -> Made:
    """The bento in the image store, in a repository that has released nothing yet."""
    (state / "images").mkdir(parents=True, exist_ok=True)
    shutil.copy(made.bento.archive, state / "images" / f"{made.bento.digest.removeprefix('sha256:')}.bento")
    return made


def released(made: Made, **changes: Any) -> Release:
    return gitops_world.release(VERSION).model_copy(update={"model_digest": made.bento.model_digest, **changes})


def test_what_an_environment_has_released_answers_as_its_service(kept: Made, bakehouse: Asked, tmp_path: Path) -> None:
    """Answers and refusals are those of the real service over HTTP, and the release stands beside the model."""
    commit_release(GitopsRepository.open(), "staging", released(kept))
    said = bakehouse.json("edge", "orders", "--env", "staging", "--to", str(tmp_path / "package"), "--no-page")
    assert (said["model"], said["model_version"], said["released"]) == ("orders", VERSION, True)
    release = json.loads((tmp_path / "package" / "release.json").read_text())
    assert release["model_digest"] == kept.bento.model_digest
    assert not (tmp_path / "package" / "page").exists()
    documents: list[Any] = [
        order(),
        [order(), order(order_id="C536365")],
        order(order_id="?"),
        [order(), order(country="Atlantis", lines=[])],
        {},
    ]
    with serve(kept.unpacked, tmp_path / "home") as service, service.client() as client:
        for document in documents:
            answer = client.post("/predict", json=document)
            run = [sys.executable, str(tmp_path / "package" / "run.py")]
            ours = subprocess.run(run, input=json.dumps(document), capture_output=True, text=True, check=False)
            if answer.status_code == 200:
                assert json.loads(ours.stdout) == answer.json()
            else:
                assert (ours.returncode, answer.status_code) == (1, 422)
                assert json.loads(ours.stderr)["problems"] == answer.json()["problems"]


def test_a_version_that_is_not_released_is_written_without_a_release(kept: Made, bakehouse: Asked, state: Path) -> None:
    said = bakehouse("edge", f"orders@{VERSION}", "--no-page")
    package = state / "edge" / f"orders-{VERSION}"
    assert (package / "run.py").is_file()
    assert not (package / "release.json").exists()
    again = bakehouse("edge", f"orders@{VERSION}", "--no-page")
    assert again == said, "the same bento gives the same package, in the place of the first"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["orders"], 1, "No environment has a release of orders."),
        (["orders", "--env", "staging"], 1, "staging has no release of orders."),
        (["orders@8"], 1, "There is no bento of orders 8"),
        (["orders@7", "--env", "staging"], 2, "MODEL[@VERSION]"),
        ([f"orders@{VERSION}", "--to", "."], 1, "holds something else than an edge package."),
    ],
)
def test_what_can_not_be_written_is_refused(
    kept: Made,
    bakehouse: Asked,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    said: str,
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "precious.txt").write_text("mine")
    monkeypatch.chdir(tmp_path / "here")
    complaint = bakehouse("edge", *arguments, "--no-page", code=code)
    assert said in " ".join(complaint.split())
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["precious.txt"]


def test_a_bento_whose_graph_is_not_the_released_one_is_refused(kept: Made, bakehouse: Asked) -> None:
    commit_release(GitopsRepository.open(), "staging", released(kept, model_digest="sha256:" + "0" * 64))
    complaint = bakehouse("edge", "orders", "--no-page", code=1)
    assert f"the bento here holds {kept.bento.model_digest}" in " ".join(complaint.split())


def test_without_npm_a_page_is_refused_by_name(
    kept: Made, bakehouse: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git = shutil.which("git")
    assert git is not None
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "git").symlink_to(git)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    complaint = bakehouse("edge", f"orders@{VERSION}", "--to", str(tmp_path / "package"), code=1)
    assert "npm, which is not installed" in complaint
    assert not (tmp_path / "package").exists()
