"""Which data version a person means: a hash, a release's model version, or what an environment has released. Reads
releases and the pointers of the data zone, never data.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from bakehouse.errors import DataError, ReleaseError
from gitops.environment import Place, environments, places
from gitops.history import timeline
from gitops.release import Release
from gitops.repository import GitopsRepository
from steps import data_versions

FORMS = "Name a data version's hash, MODEL@VERSION, or MODEL@ENV."
_HASH = re.compile(r"[0-9a-f]{8,32}(\.dir)?")


@dataclass(frozen=True)
class Reference:
    """A data version of a model; `said` is how it was named."""

    model: str
    version: str
    said: str


def resolve(repository: GitopsRepository, said: str, model: str = "") -> Reference:
    """The data version that `said` names: its hash or the first eight digits of it or more, `MODEL@VERSION` of the
    registry, or `MODEL@ENV`. A bare version or environment is of `model`.

    Raises `DataError` where it names none, or more than one.
    """
    named, _, where = said.rpartition("@")
    if not named and _HASH.fullmatch(where):
        return _by_hash(repository, where)
    if not (named or model):
        raise DataError(f"{said} does not say of which model.", FORMS)
    return Reference(named or model, _released(repository, named or model, where).data.version, said)


def pair(repository: GitopsRepository, old: str, new: str) -> tuple[Reference, Reference]:
    """Two data versions of one model, each of which may lend the other its model.

    Raises `DataError` where one names none, or they are of two models.
    """
    if _names_no_model(old):
        second = resolve(repository, new)
        first = resolve(repository, old, second.model)
    else:
        first = resolve(repository, old)
        second = resolve(repository, new, first.model)
    if first.model != second.model:
        raise DataError(
            f"{old} and {new} are data of two models, {first.model} and {second.model}.",
            "Their records have nothing in common: compare versions of one model.",
        )
    return first, second


def _names_no_model(said: str) -> bool:
    return "@" not in said and not _HASH.fullmatch(said)


def _by_hash(repository: GitopsRepository, start: str) -> Reference:
    known = data_versions.known()
    known |= {release.data.version: release.model for release in _all(repository)}
    found = {version: model for version, model in known.items() if version.startswith(start)}
    if len(found) != 1:
        listed = (
            f"It could be {', '.join(sorted(found))}." if found else "`bakehouse lineage` says which a release has."
        )
        raise DataError(f"{'More than one' if found else 'No'} data version known here begins with {start}.", listed)
    ((version, model),) = found.items()
    return Reference(model, version, start)


def _all(repository: GitopsRepository) -> Iterator[Release]:
    """Every release in the history of what is released or held now. What is no release document is passed over."""
    for place in places(repository.at()):
        for entry in timeline(repository, place).entries():
            try:
                if entry.release is not None:
                    yield entry.release
            except ReleaseError:
                continue


def _released(repository: GitopsRepository, model: str, where: str) -> Release:
    """The release of a model version in whatever environment had it, or the one that an environment has."""
    snapshot = repository.at()
    known = environments(snapshot)
    if where in known:
        current = timeline(repository, Place(where, model)).current
        if current is not None and current.release is not None:
            return current.release
        raise DataError(f"{where} has no release of {model}.", "`bakehouse status` shows what is where.")
    if where.isdigit():
        for environment in known:
            for entry in timeline(repository, Place(environment, model)).entries():
                if entry.model_version == int(where) and entry.release is not None:
                    return entry.release
        raise DataError(f"Model version {where} of {model} was never released.", f"Try `bakehouse history {model}`.")
    raise DataError(f"{where or model} is neither a model version nor an environment ({', '.join(known)}).", FORMS)
