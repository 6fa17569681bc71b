"""An earlier release brought back as one commit with a hold: what a rollback and an adoption share.

Which release comes back, and whether it may, is theirs to say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bakehouse.errors import ReleaseError
from gitops.commits import Change
from gitops.environment import SETTINGS, Place, environments, parse_place, release_folder, replaced_release
from gitops.history import released
from gitops.holds import Hold, trailers
from gitops.release import Release, now
from gitops.repository import ENVIRONMENTS, GitopsRepository, Snapshot

_LISTED = 20
"""So many lines of what else has changed stand in the commit."""


@dataclass(frozen=True)
class Restoration:
    """The commit to be made, the hold in it, and what else has changed since, which it leaves as it is."""

    change: Change
    hold: Hold
    untouched: tuple[str, ...]


def restoration(
    snapshot: Snapshot,
    place: Place,
    release: Release,
    revision: str,
    *,
    left: int | None,
    subject: str,
    reason: str,
    bound: Mapping[str, str],
) -> Restoration:
    """Bring back the folder that `revision` has, which is that of `release`. `left` is the model version that goes;
    `bound` are the trailers that say by what."""
    repository: GitopsRepository = snapshot.repository
    then = repository.at(revision)
    hold = Hold(reason=reason, since=now(), by=repository.identity(), model_version=left)
    untouched = tuple(_changed_since(then, snapshot, place))
    change = Change(
        subject,
        replaced_release(snapshot, place, release_folder(then, place)) | {place.hold: hold.to_yaml().encode()},
        trailers(place) | dict(bound) | release.trailers(),
        body=_body(hold, revision, untouched),
    )
    return Restoration(change, hold, untouched)


def beside_the_release(then: Snapshot, now: Snapshot, environment: str) -> Iterator[str]:
    """The files that go into every model of an environment and are others now: its settings, and what all share."""
    known = environments(now)
    for path in _changed(then, now):
        folder = path.split("/")[1]
        if path.startswith(f"{ENVIRONMENTS}/{environment}/{SETTINGS}/") or (
            folder not in known and "/" in path.removeprefix(f"{ENVIRONMENTS}/")
        ):
            yield path


def _changed_since(then: Snapshot, now: Snapshot, place: Place) -> Iterator[str]:
    """What of the environment, or of what all environments share, is another now; the place itself left aside."""
    changed = _changed(then, now)
    models = {other for path in changed if (other := parse_place(path)[0]) is not None}
    for other in sorted(models, key=lambda it: it.folder):
        if other.environment == place.environment and other != place and other.document in changed:
            yield f"{other.model}: model version {_version(then, other)}, now {_version(now, other)}"
    yield from beside_the_release(then, now, place.environment)


def _changed(then: Snapshot, now: Snapshot) -> list[str]:
    return sorted(path for path in {*then.files, *now.files} if then.files.get(path) != now.files.get(path))


def _version(snapshot: Snapshot, place: Place) -> str:
    try:
        release = released(snapshot, place)
    except ReleaseError:
        return "unreadable"
    return str(release.model_version) if release is not None else "none"


def _body(hold: Hold, revision: str, untouched: Sequence[str]) -> str:
    if not untouched:
        return hold.reason
    listed = [f"- {line}" for line in untouched[:_LISTED]]
    more = [f"- and {len(untouched) - _LISTED} more"] if len(untouched) > _LISTED else []
    return "\n".join([hold.reason, "", f"Changed since {revision[:10]}, and left as it is:", *listed, *more])
