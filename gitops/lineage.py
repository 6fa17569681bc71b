"""Everything that a release stands on, and what a person types to get each part back. Only reads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bakehouse.errors import ReleaseError
from gitops import git, stores
from gitops.environment import Place, environments
from gitops.history import Entry, timeline
from gitops.proposal import facts
from gitops.release import Choice, Release
from gitops.repository import GitopsRepository


@dataclass(frozen=True)
class Part:
    """One thing that the release stands on: what it is, and the command that gets it (empty where none does)."""

    name: str
    said: str
    command: str = ""


@dataclass(frozen=True)
class Lineage:
    """A release in an environment with all its parts."""

    place: Place
    entry: Entry
    release: Release
    parts: tuple[Part, ...]


def lineage(repository: GitopsRepository, model: str, environment: str | None = None) -> list[Lineage]:
    """The lineage of a model's release in one environment, or in each that has one.

    Raises `ReleaseError` where there is no release of it.
    """
    snapshot = repository.at(repository.fetch())
    known = environments(snapshot)
    if environment is not None and environment not in known:
        raise ReleaseError(f"There is no environment {environment}.", f"There are: {', '.join(known)}.")
    found = []
    for name in known if environment is None else (environment,):
        current = timeline(repository, place := Place(name, model), snapshot.revision).current
        if current is not None and current.release is not None:
            parts = tuple(_parts(repository, current, current.release))
            found.append(Lineage(place, current, current.release, parts))
    if not found:
        where = environment or "any environment"
        raise ReleaseError(f"There is no release of {model} in {where}.", "`bakehouse status` shows what is where.")
    return found


def _parts(repository: GitopsRepository, entry: Entry, release: Release) -> Iterator[Part]:
    said, commit = facts(release), entry.commit
    place = _shown(Path(repository.url)) if Path(repository.url).is_dir() else "CLONE"
    yield Part(
        "release",
        f"{commit.short} of {commit.time:%Y-%m-%d %H:%M} by {commit.author}: {commit.subject}",
        f"git -C {place} show {commit.short}",
    )
    registered = f"models:/{release.model}/{release.model_version}"
    yield Part("model version", said["model version"], f"mlflow artifacts download --artifact-uri {registered}")
    archive = stores.image(release.image.digest)
    yield Part("image", said["image"], f"tar -xzf {_shown(archive)} -C FOLDER" if archive.is_file() else "")
    yield Part("model digest", release.model_digest)
    yield Part("data version", said["data version"], f"bakehouse data checkout {release.data.version} --to FOLDER")
    for file in release.data.files:
        yield Part("data file", f"{file.path} ({file.documents:,} documents, md5 {file.md5})")
    yield Part("code", said["code"], f"git checkout {release.code.commit}" if _is_commit(release) else "")
    yield Part("run", said["run"])
    yield from _evidence(release)


def _evidence(release: Release) -> Iterator[Part]:
    evidence = release.evidence
    champion = f"model version {evidence.champion}" if evidence.champion else "no champion"
    note = f" ({evidence.champion_note})" if evidence.champion_note else ""
    yield Part("champion", f"{champion}; measured on {evidence.test_rows:,} rows, {evidence.test_digest}{note}")
    if evidence.choice is not None:
        yield Part("choice", _choice(evidence.choice))
    for name, metric in evidence.metrics.items():
        beside = "" if metric.champion is None else f", the champion {metric.champion:.6g}"
        yield Part("metric", f"{name} {metric.value:.6g}{beside}")
    for gate in evidence.gates:
        yield Part("gate", gate.describe())
    for name, digest in evidence.reports.items():
        yield Part("report", f"{name} {digest}", _kept(digest))
    if evidence.sbom is not None:
        yield Part("SBOM", evidence.sbom, _kept(evidence.sbom))


def _choice(choice: Choice) -> str:
    settings = ", ".join(f"{name} {value}" for name, value in choice.params.items())
    scored = f"{choice.metric} {choice.score:.6g} on dev data"
    said = f"{choice.candidate} ({settings}), {scored}, best of {choice.trials} trials"
    other = choice.runner_up
    if other is None:
        return said
    interval = (
        "" if other.low is None or other.high is None else f" (95 % interval {other.low:.3g} to {other.high:.3g})"
    )
    return f"{said}, {other.margin:.3g} ahead of {other.candidate}{interval}"


def _kept(digest: str) -> str:
    """Where a report is, if it is here."""
    path = stores.report(digest)
    return _shown(path) if path.is_file() else ""


def _is_commit(release: Release) -> bool:
    return len(release.code.commit) == len("0" * 40)


def _shown(path: Path) -> str:
    """A path as it is typed in the current folder."""
    relative = os.path.relpath(path)
    return git.hide_credentials(str(path) if relative.startswith("..") else relative)
