"""The pull request of a rollback, for a branch that nobody may push to. What it brings back is decided elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gitops import pull_request
from gitops.commits import Change, Commit
from gitops.environment import Place
from gitops.markdown import literal
from gitops.repository import ROLLBACKS, GitopsRepository

_LISTED = 20
"""So many lines of what else has changed stand in the text."""


@dataclass(frozen=True)
class Request:
    """A rollback to be merged: its commit, `taken` the one that it takes back, and what a person reads of it."""

    place: Place
    model_version: int
    change: Change
    taken: Commit
    reason: str
    untouched: Sequence[str]

    @property
    def branch(self) -> str:
        """Named by the commit that it takes back, so that the branch of an earlier rollback is never taken for it."""
        return f"{ROLLBACKS}{self.place.model}-{self.model_version}-in-{self.place.environment}-{self.taken.short}"


@dataclass(frozen=True)
class Requested:
    """An open pull request: its address, the branch, the commit on it, and its text as a file."""

    address: str
    branch: str
    commit: str
    body: Path


def open_request(
    repository: GitopsRepository, request: Request, forge: pull_request.Forge, proposals: Path
) -> Requested:
    """Push the branch, write the text to the folder `proposals`, and open the pull request, or bring the one that is
    open up to date. The forge merges it as soon as its rules allow: no gate of ours stands in a rollback's way.

    Raises `ReleaseError` where `gh` fails, or where the branch holds another rollback.
    """
    branch, folder = request.branch, request.place.release
    there = repository.proposal(branch)
    files = request.change.files
    wanted = {path: content for path, content in files.items() if content and path.startswith(f"{folder}/")}
    pushed = there is not None and there.under(folder) == wanted
    if there is not None and pushed:
        made = repository.commit_at(there.revision)
    else:
        made = repository.propose(request.change, branch)
    body = proposals / f"{branch.replace('/', '-')}.md"
    body.parent.mkdir(parents=True, exist_ok=True)
    body.write_text(_text(request), encoding="utf-8")
    pull = pull_request.Pull(branch, made.sha, request.change.subject, body)
    return Requested(pull_request.open_pull_request(forge, pull, merge=True), branch, made.sha, body)


def _text(request: Request) -> str:
    place = request.place
    shown = [f"- {literal(line)}" for line in request.untouched[:_LISTED]]
    if len(request.untouched) > _LISTED:
        shown.append(f"- and {len(request.untouched) - _LISTED} more")
    left = ["Changed since it was there, and left as it is:", "", *shown, ""] if shown else []
    lift = f"bakehouse hold {place.model} --env {place.environment} --lift"
    becomes = f"`{place.release}/` becomes, byte for byte, what it was with model version {request.model_version}."
    return "\n".join(
        [
            f"{becomes} Nothing else changes.",
            "",
            f"Why: {literal(request.reason)}",
            "",
            *left,
            f"It leaves a hold. When the cause is mended:\n\n```sh\n{lift}\n```",
            "",
        ]
    )
