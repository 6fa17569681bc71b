"""What the demo does where a model is not like orders: it plays the reviewer, and ends where the gates refuse."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from bakehouse.errors import GateError
from bakehouse.gates import at_least
from gitops.environment import Place
from gitops.history import released
from gitops.promotion import commit_release, promote
from gitops.release import Release
from gitops.repository import GitopsRepository
from tests.gitops_world import World, release
from tools.demo import Demo, RefusedReleaseError, refusal, review
from tools.tour import StoppedError, Tour, errors_and_steps

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture
def tour(tmp_path: Path) -> Tour:
    return Tour(Console(file=io.StringIO(), width=100), tmp_path / "logs", 1)


def test_the_demo_looks_at_a_proposal_and_merges_it_as_its_reviewer(world: World, tour: Tour) -> None:
    repository = GitopsRepository.open()
    document = release(1, policy="review")
    commit_release(repository, "staging", document)
    world.observe(document)
    proposed = promote(repository, "orders", "production", observations=world.observations, proposals=world.bodies)
    production = Place("production", "orders")
    assert released(repository.at(repository.fetch()), production) is None
    review(tour, repository, "orders", f"orders 1 waits for review on the branch {proposed.branch} (commit 0000).")
    assert released(repository.at(repository.fetch()), production) == document
    assert world.git("branch", "--list", "promote/*") == ""


def test_the_demo_stops_where_there_is_nothing_to_review(world: World, tour: Tour) -> None:
    with pytest.raises(StoppedError, match="Merge the branch"):
        review(tour, GitopsRepository.open(), "orders", "Nothing of the kind.")


@pytest.mark.parametrize("refused", [1, 2])
def test_where_the_first_batch_alone_is_refused_the_demo_trains_on_every_batch(
    world: World, tour: Tour, monkeypatch: pytest.MonkeyPatch, refused: int
) -> None:
    """And ends where that is refused too."""
    trained: list[str] = []

    def train(_: Demo, title: str, configuration: str) -> Release:
        trained.append(configuration)
        if len(trained) <= refused:
            raise RefusedReleaseError("missed")
        return release(1)

    monkeypatch.setattr(Demo, "train", train)
    monkeypatch.setenv("BAKEHOUSE_ROOT", str(CHECKOUT))
    demo = Demo(tour, "students")
    if refused == 1:
        assert demo.first_release() == release(1)
    else:
        with pytest.raises(RefusedReleaseError):
            demo.first_release()
    assert [Path(name).name for name in trained] == ["students-first-batch.yaml", "run.yaml"]


def test_gates_that_refuse_a_model_end_the_demo_and_a_run_that_breaks_is_an_error() -> None:
    missed = GateError((at_least("accuracy", 0.5, 0.9, "problem.yaml"),), "orders is not released")
    assert isinstance(refusal("orders", f"Error: {missed}"), RefusedReleaseError)
    broken = refusal("orders", "Step train has started.\nMemoryError")
    assert isinstance(broken, StoppedError)
    assert "MemoryError" in str(broken)


def test_of_a_failed_run_the_steps_and_every_missed_gate_are_shown() -> None:
    show = errors_and_steps()
    lines = ["  - no gate yet", "Step `train` has finished in `2s`.", "Error: orders is not released: 1 gate missed:"]
    lines += ["  - accuracy missed: 0.5, must be >= 0.9", "something else"]
    assert [shown for line in lines if (shown := show(line)) is not None] == [
        "✓ train (2s)",
        "Error: orders is not released: 1 gate missed:",
        "  - accuracy missed: 0.5, must be >= 0.9",
    ]
