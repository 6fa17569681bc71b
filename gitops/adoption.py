"""How git comes to agree with what runs, after an operator rolled one application back in Argo CD: the release that
really runs is committed, with a hold. What runs is asked by `gitops.application`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from bakehouse.errors import DeliveryError, ReleaseError
from gitops.application import Seen, look
from gitops.commits import Change
from gitops.environment import Place, release_folder, require_environment
from gitops.history import Timeline, timeline
from gitops.holds import Hold
from gitops.release import Release, sha256
from gitops.repository import GitopsRepository, Snapshot
from gitops.restoration import restoration

RESUMING = "--sync-policy automated --auto-prune --self-heal"


@dataclass(frozen=True)
class Adoption:
    """What `adopt` did: `commit` is the one that has the release, `revision` where it was taken from, `away_from` the
    model version that git named before and `untouched` what else has changed since, which stays as it is.

    `application` is Argo CD's, none where it could not be asked; `paused` says that it does not follow git by itself.
    `not_compared` says why the release was not compared with the cluster, and is empty where it was.
    """

    action: Literal["adopted", "already there"]
    place: Place
    release: Release
    revision: str
    away_from: int | None
    commit: str
    hold: Hold | None
    untouched: tuple[str, ...]
    application: str | None
    paused: bool
    not_compared: str

    @property
    def resume(self) -> str | None:
        """What lets Argo CD follow git again; None where it does, or could not be asked."""
        return f"argocd app set {self.application} {RESUMING}" if self.paused else None


def adopt(repository: GitopsRepository, place: Place, revision: str | None = None, reason: str = "") -> Adoption:
    """Commit the release of the revision that Argo CD synced last, or of the one given, and hold it.

    It has to be one that the environment had, and, where somebody can look into the cluster, what is there. Raises
    `ReleaseError` or `DeliveryError` where it is not, where the sync has not ended well, and where Argo CD follows git
    by itself and so has nothing to be adopted.
    """
    require_environment(repository.at(repository.fetch()), place.environment)
    seen, unseen = _look(place, needed=revision is None)
    wanted = repository.resolve(revision if revision is not None else _synced(place, seen))
    release, document = _released(repository, place, wanted)
    _refuse_if_automated(repository, place, seen, wanted)
    not_compared = unseen or _compare(seen, release, document, wanted)
    application = seen.application if seen is not None else None
    paused = application is not None and not application.automated
    outcome: list[Adoption] = []

    def plan(snapshot: Snapshot) -> Change | None:
        history = timeline(repository, place, snapshot.revision)
        current = history.current
        name = application.name if application is not None else None
        said = (name, paused, not_compared)
        if release_folder(snapshot, place) == release_folder(repository.at(wanted), place) and current is not None:
            outcome[:] = [Adoption("already there", place, release, wanted, None, current.commit.sha, None, (), *said)]
            return None
        left = current.model_version if current is not None else None
        back = restoration(
            snapshot,
            place,
            release,
            wanted,
            left=left,
            subject=f"Adopt {place.model} {release.model_version}, which runs in {place.environment}",
            reason=reason or f"taken back to model version {release.model_version} in the cluster",
            bound={"Adopted-From": wanted},
        )
        outcome[:] = [Adoption("adopted", place, release, wanted, left, "", back.hold, back.untouched, *said)]
        return back.change

    made = repository.commit(plan, watch=[place.folder])
    return outcome[0] if made is None else replace(outcome[0], commit=made.sha)


def _look(place: Place, *, needed: bool) -> tuple[Seen | None, str]:
    """What was seen, or why nothing was, which is an error only where the revision is to come from there."""
    try:
        return look(place), ""
    except DeliveryError as error:
        if needed:
            raise DeliveryError(
                error.message, "Name what runs by --revision: `argocd app history` lists the revisions."
            ) from error
        return None, error.message.rstrip(".")


def _synced(place: Place, seen: Seen | None) -> str:
    """The revision that Argo CD's last sync brought into the cluster."""
    application = seen.application if seen is not None else None
    if application is None or not application.revision:
        raise DeliveryError(f"Argo CD has synced nothing of {place} yet.", "There is nothing to adopt.")
    if application.phase != "Succeeded":
        said = application.message or "it gave no reason"
        raise DeliveryError(
            f"The last sync of {application.name} is {application.phase}: {said}.",
            "Wait until it has succeeded, or name what runs by --revision.",
        )
    return application.revision


def _released(repository: GitopsRepository, place: Place, revision: str) -> tuple[Release, str]:
    """The release that a revision of the branch had, and the digest of its document as written."""
    head = repository.head()
    if not repository.contains(revision, head):
        raise ReleaseError(
            f"Revision {revision[:10]} is not in the history of {repository.branch}.",
            f"`bakehouse history {place.model} --env {place.environment}` lists what was.",
        )
    history: Timeline = timeline(repository, place, head)
    entry = history.find(revision)
    if entry.release is None or entry.text is None:
        raise ReleaseError(f"{place} has no release at {revision[:10]}.", "Name another one with --revision.")
    return entry.release, sha256(entry.text.encode())


def _refuse_if_automated(repository: GitopsRepository, place: Place, seen: Seen | None, revision: str) -> None:
    """Raise `ReleaseError` where Argo CD is only behind: what it has yet to sync was not rolled back."""
    application = seen.application if seen is not None else None
    if application is None or not application.automated:
        return
    if release_folder(repository.at(), place) != release_folder(repository.at(revision), place):
        raise ReleaseError(
            f"Argo CD follows git by itself for {application.name}, so that there is nothing to adopt.",
            f"Where it must not, pause it first: `argocd app set {application.name} --sync-policy none`.",
        )


def _compare(seen: Seen | None, release: Release, document: str, revision: str) -> str:
    """Why nothing was compared, or nothing. Raises `ReleaseError` that names the first difference."""
    if seen is None or seen.workloads is None:
        return seen.reason if seen is not None else "nobody was asked"
    hint = "Name the revision that runs by --revision: `argocd app history` lists them."
    if not seen.workloads:
        raise ReleaseError(f"Nothing of {seen.application.name} runs in the cluster.", hint)
    pinned = f"revision {revision[:10]} pins {release.image.reference}"
    for workload in seen.workloads:
        if workload.image != release.image.reference:
            raise ReleaseError(f"{workload.name} runs {workload.image}, but {pinned}.", hint)
        if workload.document != document:
            raise ReleaseError(
                f"{workload.name} runs the image of revision {revision[:10]}, but with another release document.", hint
            )
    return ""
