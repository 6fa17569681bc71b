"""What an image is built from and by which program, short of building one."""

from __future__ import annotations

import json
from importlib.metadata import distribution
from pathlib import Path

import pytest

from bakehouse import archives, workspace
from bakehouse.errors import ConfigurationError, DataError, DeliveryError
from bentos.common.engines import ENGINES, engine
from bentos.common.images import build_image, find_bento, image_name
from bentos.common.locked import locked
from tests.served import LINEAGE

LOCK = """\
numpy=={numpy} ; python_full_version < '3.14' \\
    --hash=sha256:00 \\
    --hash=sha256:11
    # via pandas
pandas==1.0 \\
    --hash=sha256:22
    # via -r requirements.in
pydantic==0.0.1 \\
    --hash=sha256:33
"""


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "requirements.lock"
    path.write_text(LOCK.format(numpy=distribution("numpy").version))
    return path


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder where programs are looked for."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def program(folder: Path, name: str, code: int, said: str = "") -> None:
    (folder / name).write_text(f"#!/bin/sh\necho '{said}' >&2\nexit {code}\n")
    (folder / name).chmod(0o755)


def test_a_bento_takes_its_own_part_of_the_lock_with_every_hash_and_no_comment(lock: Path) -> None:
    version = distribution("numpy").version
    wanted = f"numpy=={version} ; python_full_version < '3.14' \\\n    --hash=sha256:00 \\\n    --hash=sha256:11\n"
    assert locked([distribution("numpy")], lock) == wanted


@pytest.mark.parametrize("name", ["pydantic", "pytest"])
def test_what_is_installed_but_not_locked_in_that_version_is_named(name: str, lock: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} .* is installed, but requirements.lock does not pin"):
        locked([distribution(name)], lock)


def test_an_engine_that_is_installed_but_can_not_work_is_passed_over(programs: Path) -> None:
    """As with docker's client where no daemon answers."""
    program(programs, "podman", 125)
    program(programs, "docker", 0)
    assert engine().name == "docker"


def test_where_no_engine_works_the_three_are_named(programs: Path) -> None:
    with pytest.raises(ConfigurationError, match="buildah and podman and docker can't be run"):
        engine()


def test_the_engine_that_was_asked_for_is_not_replaced_by_another(programs: Path) -> None:
    program(programs, "docker", 0)
    with pytest.raises(ConfigurationError, match="buildah can't be run"):
        engine("buildah")


def test_a_refused_push_says_what_the_engine_said_last(programs: Path) -> None:
    program(programs, "buildah", 125, "trying again\nunauthorized: who are you?")
    with pytest.raises(DeliveryError, match=r"`buildah push` failed: unauthorized: who are you\?"):
        ENGINES[0].push("registry.example.org/bakehouse/orders:7")


def test_a_bento_without_a_lock_of_its_own_makes_no_image(programs: Path, state: Path, tmp_path: Path) -> None:
    program(programs, "podman", 0)
    archive = tmp_path / "old.bento"
    digest = archives.pack(bento(tmp_path / "bento"), archive)
    with pytest.raises(DataError, match=r"This bento has no requirements.lock.*Train again"):
        build_image(archive, digest, "bakehouse/orders")
    assert list(state.glob("image-*")) == []


def test_the_bento_of_a_version_is_found_by_what_it_says_of_itself(state: Path, tmp_path: Path) -> None:
    for version in (6, 7):
        archives.pack(bento(tmp_path / str(version), version), workspace.images() / f"{version}{'0' * 63}.bento")
    archive, identity = find_bento("orders", 6)
    assert (archive.name[0], identity.model_version) == ("6", 6)
    with pytest.raises(DataError, match="There is no bento of orders 8"):
        find_bento("orders", 8)


def test_an_archive_that_is_no_bento_is_named_rather_than_passed_over(state: Path) -> None:
    (workspace.images() / f"{'a' * 64}.bento").write_text("half")
    with pytest.raises(DataError, match=f"{'a' * 64}.bento can't be read as a bento"):
        find_bento("orders", 1)


def bento(folder: Path, version: int = 1) -> Path:
    """As much of an unpacked bento as says which model version it is."""
    (folder / "src").mkdir(parents=True)
    told = {"model": "orders", "model_version": version, "model_digest": f"sha256:{'0' * 64}"} | dict(LINEAGE)
    (folder / "src" / "model.json").write_text(json.dumps(told))
    return folder


def test_an_image_is_named_alike_in_every_registry() -> None:
    assert image_name("orders", None) == "bakehouse/orders"
    assert image_name("orders", "registry.example.org/team") == "registry.example.org/team/bakehouse/orders"
