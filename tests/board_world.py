"""A story for the board: three models, of which each has come another way, told by the functions that commands call."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gitops import holds
from gitops.environment import Place
from gitops.promotion import commit_release, promote
from gitops.release import Metric
from gitops.repository import GitopsRepository
from gitops.rollback import roll_back
from tests.gitops_world import World, commit_files, release

HOSTILE = "</style><script>alert(1)</script>\"'><img src=x onerror=alert(2)> {{ 7 * 7 }} \u202e{% raw %} &amp;"


@contextmanager
def told(folder: Path) -> Iterator[GitopsRepository]:
    """A repository in which all of `tell` has happened, with a state folder of its own, for tests that only read it."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("BAKEHOUSE_")]:
            patch.delenv(name)
        world = World(folder)
        patch.setenv("BAKEHOUSE_STATE", str(folder / "state"))
        patch.setenv("BAKEHOUSE_ROOT", str(world.checkout))
        repository = GitopsRepository.open()
        tell(repository, world)
        yield repository


def tell(repository: GitopsRepository, world: World) -> None:
    """`orders` went back from 3 to 2 and has 4 waiting behind the hold; `sentiment` 2 is proposed on a branch;
    `students` was taken out of production, and held there."""
    for version in (1, 2, 3):
        champion = version - 1 or None
        commit_release(
            repository, "staging", release(version, champion=champion, average_precision=0.88 + version / 100)
        )
        promote(repository, "orders", "production", proposals=world.bodies)
    roll_back(repository, Place("production", "orders"), reason="Too many false alarms since the price change")
    commit_release(repository, "staging", release(4, champion=3, average_precision=0.93))
    commit_release(repository, "staging", release(1, model="sentiment"))
    promote(repository, "sentiment", "production", proposals=world.bodies)
    commit_release(repository, "staging", release(2, model="sentiment", champion=1, policy="review"))
    promote(repository, "sentiment", "production", proposals=world.bodies)
    commit_release(repository, "staging", release(1, model="students"))
    promote(repository, "students", "production", proposals=world.bodies)
    taken_out = Place("production", "students")
    commit_files(repository, dict.fromkeys((taken_out.document, taken_out.pin)), "Take students out of production")
    holds.hold(repository, taken_out, "The school has not agreed yet")


def tell_hostile(repository: GitopsRepository) -> None:
    """Whatever a repository may hold as free text, said by somebody who means harm."""
    kind = release(1)
    metrics = {HOSTILE: Metric(value=0.5, low=0.4, high=0.6)}
    gates = tuple(
        gate.model_copy(update={"name": HOSTILE, "source": HOSTILE, "explanation": HOSTILE})
        for gate in kind.evidence.gates
    )
    evidence = kind.evidence.model_copy(
        update={
            "metrics": metrics,
            "gates": gates,
            "champion_note": HOSTILE,
            "reports": {f"{HOSTILE}.html": kind.evidence.reports["profile.html"]},
        }
    )
    document = kind.model_copy(update={"evidence": evidence, "created_by": HOSTILE})
    place = Place("staging", "orders")
    commit_files(repository, {f"{place.release}/{name}": text for name, text in document.files().items()}, HOSTILE)
    holds.hold(repository, place, HOSTILE)
