"""Many at once, and killed at any moment: nothing is lost, nothing is half there, and no ref moves but forward."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bakehouse.errors import ReleaseError
from gitops import holds
from gitops.environment import Place
from gitops.history import champion, releases
from gitops.promotion import commit_release, promote
from gitops.repository import GitopsRepository
from gitops.rollback import roll_back
from gitops.verification import verify
from tests.gitops_world import World, release
from tests.waiting import eventually

RACERS, MODELS = 20, 14
KILLS = int(os.environ.get("BAKEHOUSE_KILLS", "8"))
SEED = int(os.environ.get("BAKEHOUSE_SEED", "0")) or random.randrange(10**6)


def bakehouse(
    checkout: Path, *arguments: str, state: Path | None = None, url: str = "", extra: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """`bakehouse` in a process of its own, with a cache of its own where `state` is given."""
    place = {"BAKEHOUSE_STATE": str(state), "BAKEHOUSE_GITOPS_URL": url} if state is not None else {}
    return subprocess.Popen(
        [sys.executable, "-m", "commands.main", *arguments],
        env={**os.environ, "PYTHONPATH": str(checkout), **place, **(extra or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_of_twenty_promotions_from_twenty_clones_each_lands_or_says_why_not(
    world: World, repository: GitopsRepository, checkout: Path, tmp_path: Path
) -> None:
    """Twenty processes, each with a clone of its own, promote fourteen models, so that six of them are raced for: every
    model lands once, whoever came second hears it, and the branch only ever moved forward by one commit at a time."""
    racers = [f"model-{number % MODELS}" for number in range(RACERS)]
    for model in racers[:MODELS]:
        commit_release(repository, "staging", release(1, model=model))
    world.git("config", "core.logAllRefUpdates", "always")
    start = repository.fetch()

    def race(number: int) -> tuple[int, str]:
        clone = tmp_path / f"clone-{number}"
        who = {f"GIT_{role}_NAME": f"Racer {number}" for role in ("AUTHOR", "COMMITTER")}
        command = ("promote", racers[number], "--to", "production")
        process = bakehouse(checkout, *command, state=clone, url=str(world.bare), extra=who)
        said = " ".join(process.communicate(timeout=600))
        return process.returncode, said

    with ThreadPoolExecutor(RACERS) as pool:
        outcomes = list(pool.map(race, range(RACERS)))
    for model in racers[:MODELS]:
        said = [outcome for racer, outcome in zip(racers, outcomes, strict=True) if racer == model]
        assert sum(code == 0 and f"Promoted {model} 1 to production" in words for code, words in said) == 1, said
        others = [words for _, words in said if f"Promoted {model} 1" not in words]
        assert all(f"has {model} 1 already" in words or "Lost the race" in words for words in others), said
    head = repository.fetch()
    assert all(champion(repository, "production", model) is not None for model in racers)
    moves = [line.split()[:2] for line in (world.bare / "logs/refs/heads/main").read_text().splitlines()]
    assert [old for old, _ in moves] == [start, *(new for _, new in moves[:-1])]
    assert moves[-1][1] == head
    assert all(world.git("rev-list", "--parents", "-n1", new) == f"{new} {old}" for old, new in moves)
    assert len(moves) == MODELS
    world.git("fsck", "--full", "--strict")
    assert not [check for check in verify(repository) if check.verdict == "broken"]


def test_of_two_people_who_promote_one_model_one_lands_it_and_the_other_hears_so(
    world: World, repository: GitopsRepository, checkout: Path, tmp_path: Path
) -> None:
    """Whoever comes second is told that it is there, or by whom the race was won; it lands once."""
    commit_release(repository, "staging", release(1))
    people = ("Ada", "Grace", "Edsger")
    running = [
        bakehouse(
            checkout,
            *("promote", "orders", "--to", "production"),
            state=tmp_path / name,
            url=str(world.bare),
            extra={"GIT_AUTHOR_NAME": name, "GIT_COMMITTER_NAME": name},
        )
        for name in people
    ]
    said = [" ".join(process.communicate(timeout=300)) for process in running]
    assert sum("Promoted orders 1 to production" in words for words in said) == 1, said
    assert sum("already" in words or "Lost the race" in words for words in said) == len(people) - 1, said
    repository.fetch()
    assert len(releases(repository, "production", "orders")) == 1


def test_a_promotion_overtaken_by_a_hold_or_a_release_does_not_land(
    world: World, repository: GitopsRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was checked on one head must hold on the head that it lands on."""
    commit_release(repository, "staging", release(1))
    place = Place("production", "orders")

    def hold() -> None:
        holds.hold(GitopsRepository.open(), place, "stocktaking")

    def train() -> None:
        commit_release(GitopsRepository.open(), "staging", release(2, champion=1))

    for overtake, winner in ((hold, "Hold orders in production"), (train, "Release orders 2 to staging")):
        slow = GitopsRepository.open()
        monkeypatch.setattr(slow, "_push", _overtaken(slow._push, overtake))
        with pytest.raises(ReleaseError, match=f"Lost the race for .*{winner}"):
            promote(slow, "orders", "production", proposals=world.bodies)
        holds.lift(repository, place)
        repository.fetch()
        assert champion(repository, "production", "orders") is None


def _overtaken(push: Callable[[str, str], None], overtake: Callable[[], None]) -> Callable[[str, str], None]:
    """A push that somebody else gets ahead of, the first time."""
    waiting = [overtake]

    def pushed(commit: str, branch: str) -> None:
        if waiting:
            waiting.pop()()
        push(commit, branch)

    return pushed


def test_releases_racing_for_one_environment_never_bury_each_other(world: World, repository: GitopsRepository) -> None:
    """Two training runs compared with the same champion: one is released, the other's comparison is stale."""
    commit_release(repository, "staging", release(1))
    outcomes = []

    def attempt(version: int) -> None:
        try:
            outcomes.append(commit_release(GitopsRepository.open(), "staging", release(version, champion=1)))
        except Exception as error:
            outcomes.append(str(error))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(attempt, (2, 3, 4, 5)))
    refused = [outcome for outcome in outcomes if " " in outcome]
    assert len(refused) == 3
    assert all("Lost the race" in outcome or "names model version 1" in outcome for outcome in refused)
    repository.fetch()
    assert len(releases(repository, "staging", "orders")) == 2


@pytest.mark.parametrize("command", ["promote", "rollback"])
def test_a_command_killed_at_any_moment_leaves_the_old_commit_or_the_new_one(
    world: World, repository: GitopsRepository, checkout: Path, command: str
) -> None:
    """Again and again: kill -9 somewhere on the way, look at the repository, run it again, and it is there."""
    print(f"BAKEHOUSE_SEED={SEED}")  # noqa: T201 - shown where it fails
    chance = random.Random(SEED)
    whole = _seconds_of_a_whole_run(world, repository, checkout)
    killed = 0
    for version in range(2, KILLS + 2):
        repository.fetch()
        commit_release(repository, "staging", release(version, champion=version - 1))
        arguments = ["promote", "orders", "--to", "production"]
        if command == "rollback":
            promote(repository, "orders", "production", proposals=world.bodies)
            arguments = ["rollback", "orders", "--env", "production"]
        head = repository.fetch()
        process = bakehouse(checkout, *arguments)
        time.sleep(chance.uniform(0.3, 1.1) * whole)
        killed += process.poll() is None
        process.kill()
        process.wait()
        time.sleep(0.1)  # an orphaned push may still finish, which is as good
        after = GitopsRepository.open().fetch()
        assert world.git("rev-list", "--count", f"{head}..{after}") in ("0", "1")
        assert world.git("merge-base", "--is-ancestor", head, after) == ""
        started = time.monotonic()
        again = bakehouse(checkout, *arguments)
        out, complaint = again.communicate(timeout=300)
        whole = min(whole, time.monotonic() - started)  # the machine may have been busy when it was first taken
        assert again.returncode == 0, complaint
        assert "Promoted" in out or "Rolled" in out or "already" in out
        repository.fetch()
        assert world.git("rev-list", "--count", f"{head}..main") == "1"
        if command == "rollback":
            document = champion(repository, "production", "orders")
            assert document is not None and document.model_version == 1  # all others were rolled back
            holds.lift(repository, Place("production", "orders"))
    assert killed > KILLS / 4, f"only {killed} of {KILLS} were killed on the way"
    world.git("fsck", "--strict")
    assert not [check for check in verify(repository) if check.verdict == "broken"]


def _seconds_of_a_whole_run(world: World, repository: GitopsRepository, checkout: Path) -> float:
    commit_release(repository, "staging", release(1))
    started = time.monotonic()
    assert bakehouse(checkout, "promote", "orders", "--to", "production").wait() == 0
    return time.monotonic() - started


def test_an_interrupt_ends_a_command_at_once(world: World, repository: GitopsRepository, checkout: Path) -> None:
    """Ctrl-C while the other side does not answer."""
    hook = world.bare / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    repository.fetch()
    commit_release(repository, "staging", release(1))
    reached = world.bare / "hook-reached"
    hook.write_text(f"#!/bin/sh\ntouch '{reached}'\nsleep 60\n")
    hook.chmod(0o755)
    head = repository.fetch()
    process = bakehouse(checkout, "promote", "orders", "--to", "production")
    eventually("the push has reached the hook", lambda: reached.exists() or process.poll() is not None)
    assert process.poll() is None, process.communicate()
    process.send_signal(signal.SIGINT)
    started = time.monotonic()
    _, complaint = process.communicate(timeout=50)
    assert process.returncode != 0
    assert time.monotonic() - started < 30
    assert "Traceback" not in complaint
    assert repository.fetch() == head


def test_a_rollback_and_a_promotion_at_once_end_in_one_of_the_two(world: World, repository: GitopsRepository) -> None:
    for version in (1, 2):
        commit_release(repository, "staging", release(version, champion=version - 1 or None))
        promote(repository, "orders", "production", proposals=world.bodies)
    commit_release(repository, "staging", release(3, champion=2))
    place = Place("production", "orders")

    def back() -> str:
        return roll_back(GitopsRepository.open(), place).action

    def forth() -> str:
        return promote(GitopsRepository.open(), "orders", "production", proposals=world.bodies).action

    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(back), pool.submit(forth)]
        failed = [str(error) for it in running if (error := it.exception()) is not None]
    repository.fetch()
    document = champion(repository, "production", "orders")
    assert document is not None
    held = holds.held(repository.at(), place) is not None
    # Back to 1 and held, or on to 3, or both in the order 3, then back to 2.
    assert (document.model_version, held) in {(1, True), (3, False), (2, True)}
    assert len(failed) <= 1
    assert all("Lost the race" in complaint or "held" in complaint for complaint in failed)
