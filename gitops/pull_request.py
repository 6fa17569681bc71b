"""Opens the pull request of a proposal by the program `gh`, which speaks to the forge; this code never does."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bakehouse.errors import ReleaseError
from gitops.git import hide_credentials

PROGRAM = "gh"
ROLLED_BACK_LABEL = "allow-rolled-back"
TIMEOUT_SECONDS = 120.0
_ADDRESS = re.compile(
    r"(?:[a-z+]+:/{2})?(?:[^@/]+@)?(?P<host>[\w.-]+)(?::\d+)?[:/](?P<path>[\w.-]+/[\w.-]+?)(?:\.git)?/?"
)


@dataclass(frozen=True)
class Forge:
    """A repository on a forge as `gh` names it (`HOST/OWNER/NAME`), and the branch that is merged into."""

    repository: str
    base: str


@dataclass(frozen=True)
class Pull:
    """What is to be merged: the branch and the commit on it, and what a person reads of them."""

    branch: str
    commit: str
    title: str
    body: Path


def forge(url: str, base: str) -> Forge:
    """The repository behind a git address. Raises `ReleaseError` where the address is a folder's."""
    found = None if url.startswith(("/", ".", "file:")) else _ADDRESS.fullmatch(url)
    if found is None or "." not in found["host"]:
        raise ReleaseError(
            f"There is no forge at {hide_credentials(url)}, so no pull request can be opened.",
            "Leave --open-pr away, or name the repository on the forge with BAKEHOUSE_GITOPS_URL.",
        )
    return Forge(f"{found['host']}/{found['path']}", base)


def open_pull_request(forge: Forge, pull: Pull, merge: bool) -> str:
    """Open the pull request, or bring the one that is open up to date, and return its address. With `merge` it is
    merged by the forge when every check there has passed, exactly at that commit.

    Raises `ReleaseError` that says what to type where `gh` is missing or fails; running it again does no harm.
    """
    where = ("--repo", forge.repository)
    create = (
        *("pr", "create", *where, "--base", forge.base, "--head", pull.branch),
        *("--title", pull.title, "--body-file", str(pull.body)),
    )
    address = _open_already(forge, pull, create)
    if address is None:
        address = _run(create, pull, create).split()[-1]
    else:
        _run(("pr", "edit", address, "--title", pull.title, "--body-file", str(pull.body)), pull, create)
    if merge:
        # Rebased, so that the commit with its trailers is itself what lands.
        _run(("pr", "merge", address, "--auto", "--rebase", "--match-head-commit", pull.commit), pull, create)
    return address


def _open_already(forge: Forge, pull: Pull, create: Sequence[str]) -> str | None:
    """The address of the open pull request of that very branch: a fork may have a branch of the same name."""
    asked = ("pr", "list", "--repo", forge.repository, "--state", "open", "--base", forge.base, "--head", pull.branch)
    said = _run((*asked, "--json", "url,isCrossRepository"), pull, create)
    try:
        found = [str(row["url"]) for row in json.loads(said) if not row["isCrossRepository"]]
    except (ValueError, LookupError, TypeError) as error:
        raise _failed(f"`gh pr list` answered what can't be read: {said[:200]!r}.", pull, create) from error
    return found[0] if found else None


def _run(arguments: Sequence[str], pull: Pull, create: Sequence[str]) -> str:
    quiet = {"GH_PROMPT_DISABLED": "1", "GH_NO_UPDATE_NOTIFIER": "1", "NO_COLOR": "1"}
    what = f"`gh {' '.join(arguments[:2])}`"
    try:
        done = subprocess.run(
            [PROGRAM, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env={**os.environ, **quiet},
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except FileNotFoundError as error:
        raise _failed("The program gh was not found.", pull, create) from error
    except subprocess.TimeoutExpired as error:
        raise _failed(f"{what} did not answer within {TIMEOUT_SECONDS:.0f} s.", pull, create) from error
    if done.returncode != 0:
        said = done.stderr.strip() or f"it ended with code {done.returncode}"
        raise _failed(f"{what} failed: {said}", pull, create)
    return done.stdout


def _failed(reason: str, pull: Pull, create: Sequence[str]) -> ReleaseError:
    by_hand = shlex.join([PROGRAM, *create])
    return ReleaseError(
        f"{reason} The branch {pull.branch} is pushed, but its pull request is not ready.",
        f"Run the same command again where gh works, or by hand: {by_hand}",
    )
