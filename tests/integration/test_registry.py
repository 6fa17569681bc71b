"""The registry and the champion, with the real MLflow and git: what is lost comes back under its own number."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from bakehouse import archives, workspace
from bakehouse.errors import DataError, ReleaseError
from bakehouse.gates import misses
from bentos.common.identity import GRAPH_FILE
from gitops import holds
from gitops.environment import Place
from gitops.promotion import commit_release
from gitops.release import Image, Release
from gitops.repository import GitopsRepository
from steps import champion as champions
from steps import mirror, registry, tracking
from tests.gitops_world import World, commit_files
from tests.gitops_world import release as document


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new MLflow database. Making one takes seconds, copying it none."""
    file = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{file}", registry_uri=f"sqlite:///{file}").search_registered_models()
    return file


@pytest.fixture
def world(tmp_path: Path, state: Path, database: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    (state / "mlflow").mkdir(parents=True)
    shutil.copyfile(database, state / "mlflow" / "mlflow.db")
    made = World(tmp_path / "world")
    monkeypatch.setenv("BAKEHOUSE_ROOT", str(made.checkout))
    return made


def baked(version: int, graph: Path, champion: int | None = None, kept: bool = True) -> Release:
    """A release whose image really holds the graph; `kept` says whether the image store has it."""
    folder = workspace.scratch("bento")
    (folder / "src").mkdir()
    shutil.copyfile(graph, folder / "src" / GRAPH_FILE)
    (folder / "version.txt").write_text(str(version))
    packed = folder.with_suffix(".bento")
    digest = archives.pack(folder, packed)
    if kept:
        packed.rename(workspace.images() / f"{digest.removeprefix('sha256:')}.bento")
    image = Image(name="bakehouse/orders", tag=str(version), digest=digest)
    return document(version, champion=champion).model_copy(
        update={"image": image, "model_digest": archives.digest(graph)}
    )


def register(graph: Path) -> int:
    client = tracking.client()
    run = client.create_run(tracking.experiment(client, "orders")).info.run_id
    return registry.add("orders", run, graph, None, {"data_version": "a" * 32})


def held() -> set[int]:
    """The versions that the registry shows."""
    return {int(found.version) for found in tracking.client().search_model_versions("name = 'orders'")}


def test_numbers_follow_one_another_and_a_registered_graph_comes_back_to_the_byte(
    world: World, graph: Path, tmp_path: Path
) -> None:
    assert [register(graph), register(graph)] == [1, 2]
    (found,) = registry.download("orders", 2, tmp_path / "out").rglob(GRAPH_FILE)
    assert found.read_bytes() == graph.read_bytes()


def test_a_version_that_the_registry_does_not_hold_is_named(world: World, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="orders version 9"):
        registry.download("orders", 9, tmp_path / "out")


def test_what_git_released_is_registered_again_and_the_next_number_follows_the_last(
    repository: GitopsRepository, graph: Path, tmp_path: Path
) -> None:
    """Version 2 was never released: its number is used up. Version 3's image is gone: its number is not."""
    first, third = baked(1, graph), baked(3, graph, champion=1, kept=False)
    commit_release(repository, "staging", first)
    commit_release(repository, "staging", third)

    assert registry.restore(repository, "orders") == [1, 3]

    client = tracking.client()
    held = {int(found.version): found.tags for found in client.search_model_versions("name = 'orders'")}
    assert set(held) == {1, 3}
    assert held[1]["zenml_run"] == first.run.zenml
    assert held[3]["data_version"] == third.data.version
    assert held[3]["file"] == "not in this image store"
    (found,) = registry.download("orders", 1, tmp_path / "out").rglob(GRAPH_FILE)
    assert archives.digest(found) == first.model_digest
    assert registry.restore(repository, "orders") == []
    assert register(graph) == 4


def test_a_number_is_not_lost_with_a_document_that_nobody_can_read(
    repository: GitopsRepository, world: World, graph: Path
) -> None:
    commit_release(repository, "staging", baked(1, graph))
    commit_files(repository, {"environments/staging/orders/release/release.json": '{"model_version": 2}'})
    assert registry.restore(repository, "orders") == [1]
    assert register(graph) == 3


def test_the_champion_is_fetched_from_the_image_store_and_then_from_the_registry(
    repository: GitopsRepository, graph: Path, tmp_path: Path
) -> None:
    release = baked(1, graph)
    commit_release(repository, "staging", release)
    assert champions.fetch(release, tmp_path / "one").read_bytes() == graph.read_bytes()
    registry.restore(repository, "orders")
    shutil.rmtree(workspace.images())
    assert champions.fetch(release, tmp_path / "two").read_bytes() == graph.read_bytes()


def test_a_champion_that_is_nowhere_is_an_error_with_every_reason(world: World, graph: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere: There is no image .* The registry can't give orders version 1"):
        champions.fetch(baked(1, graph, kept=False), tmp_path)


def test_a_registered_graph_of_another_digest_is_not_taken_for_the_champion(
    world: World, graph: Path, tmp_path: Path
) -> None:
    assert register(graph) == 1
    other = baked(1, graph, kept=False).model_copy(update={"model_digest": f"sha256:{'0' * 64}"})
    with pytest.raises(DataError, match=r"holds no model\.onnx with the digest sha256:0000"):
        champions.fetch(other, tmp_path)


def test_aliases_follow_each_environments_champion_and_go_when_it_goes(
    repository: GitopsRepository, world: World, graph: Path
) -> None:
    commit_release(repository, "staging", baked(1, graph))
    commit_release(repository, "staging", baked(2, graph, champion=1))
    commit_release(repository, "production", baked(1, graph))
    mirror.mirror(repository)
    aliases = tracking.client().get_registered_model("orders").aliases
    assert {name: int(version) for name, version in aliases.items()} == {"staging": 2, "production": 1}

    folder = "environments/production/orders/release"
    commit_files(repository, {f"{folder}/release.json": None, f"{folder}/kustomization.yaml": None})
    mirror.mirror(repository)
    assert set(tracking.client().get_registered_model("orders").aliases) == {"staging"}


def test_the_command_that_delivery_calls_mirrors_and_says_what_it_mirrored(
    repository: GitopsRepository, checkout: Path, graph: Path
) -> None:
    commit_release(repository, "staging", baked(1, graph))
    command = [sys.executable, "-m", "steps.mirror"]
    done = subprocess.run(command, cwd=checkout, check=True, capture_output=True, text=True)
    assert done.stdout == "orders in staging: version 1\n"
    assert int(tracking.client().get_model_version_by_alias("orders", "staging").version) == 1


def test_an_alias_for_a_version_that_is_not_there_is_an_error(world: World, graph: Path) -> None:
    register(graph)
    with pytest.raises(DataError, match="no orders version 7 to call staging"):
        registry.alias("orders", "staging", 7)


def test_a_deleted_version_that_git_never_released_does_not_shift_the_others(
    repository: GitopsRepository, graph: Path, tmp_path: Path
) -> None:
    """MLflow goes on counting from a deleted version and shows it to nobody."""
    third = baked(3, graph, champion=1)
    commit_release(repository, "staging", baked(1, graph))
    commit_release(repository, "staging", third)
    assert [register(graph), register(graph)] == [1, 2]
    tracking.client().delete_model_version("orders", "2")

    assert registry.restore(repository, "orders") == [3]

    assert held() == {1, 3}
    assert tracking.client().get_model_version("orders", "3").tags["data_version"] == third.data.version
    (found,) = registry.download("orders", 3, tmp_path / "out").rglob(GRAPH_FILE)
    assert archives.digest(found) == third.model_digest
    assert register(graph) == 4


def test_a_deleted_newest_version_is_said_to_be_lost_and_the_other_aliases_still_follow(
    repository: GitopsRepository, graph: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its number can't be had any more. Trying again uses up no further ones."""
    for version in (1, 2):
        commit_release(repository, "staging", baked(version, graph, champion=version - 1 or None))
        assert register(graph) == version
    commit_release(repository, "production", baked(1, graph))
    tracking.client().set_registered_model_alias("orders", "staging", "1")
    tracking.client().delete_model_version("orders", "2")

    for _ in range(2):
        assert mirror.mirror(repository) == {Place("production", "orders"): 1}

    assert "can't hold orders version 2 again" in caplog.text
    assert "no orders version 2 to call staging" in caplog.text
    aliases = tracking.client().get_registered_model("orders").aliases
    assert {name: int(version) for name, version in aliases.items()} == {"production": 1}
    assert held() == {1}
    assert register(graph) == 4
    commit_release(repository, "staging", baked(4, graph, champion=2))
    assert mirror.mirror(repository)[Place("staging", "orders")] == 4


@pytest.mark.parametrize("left", ["filler", "candidate"])
def test_a_run_killed_while_it_restores_leaves_nothing_that_the_next_one_trips_over(
    left: str, repository: GitopsRepository, graph: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed right before, or right after, it deletes what had got the number 2, which git has no release of."""
    commit_release(repository, "staging", baked(1, graph))
    commit_release(repository, "staging", baked(3, graph, champion=1))
    delete = registry._use_up

    def killed(client: MlflowClient, model: str, number: int) -> None:
        if left == "candidate":
            delete(client, model, number)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(registry, "_use_up", killed)
        with pytest.raises(KeyboardInterrupt):
            registry.restore(repository, "orders")

    assert registry.restore(repository, "orders") == [3]
    assert held() == {1, 3}
    assert register(graph) == 4


def test_two_runs_that_fill_the_registry_at_once_do_not_mix_up_numbers(
    repository: GitopsRepository, graph: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another run registers between our reading the highest number and our registering."""
    commit_release(repository, "staging", baked(1, graph))
    register(graph)
    with monkeypatch.context() as patch:
        patch.setattr(registry, "_highest", lambda client, model: 0)
        with pytest.raises(ReleaseError, match="Another run registered orders version 1"):
            registry.restore(repository, "orders")
    assert held() == {1}
    assert registry.restore(repository, "orders") == []


@pytest.mark.parametrize("released", [False, True])
def test_a_held_environment_is_a_missed_gate_before_anything_is_trained(
    released: bool, repository: GitopsRepository, graph: Path
) -> None:
    if released:
        commit_release(repository, "staging", baked(1, graph))
    place = Place("staging", "orders")
    holds.hold(repository, place, "stocktaking")
    met, version, _ = champions.champion.entrypoint("orders", "staging")
    (miss,) = misses(met.gates)
    assert (miss.name, miss.source) == ("no_hold", place.hold)
    assert "stocktaking" in miss.explanation and "--env staging --lift" in miss.explanation
    assert version == (1 if released else None)
    holds.lift(repository, place)
    assert misses(champions.champion.entrypoint("orders", "staging")[0].gates) == ()
