"""The GitOps repository: read at any revision, and changed by whole commits that land by a plain push or not at all.

Everything is done by git's plumbing on a private bare clone under the state folder, so nobody's working tree, index or
branch is touched. Knows paths, not releases.
"""

from __future__ import annotations

import fcntl
import hashlib
import itertools
import math
import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from bakehouse import workspace
from bakehouse.errors import BakehouseError, ReleaseError
from gitops import git
from gitops.commits import LOG_FORMAT, Blob, Change, Commit, Touch, parse_commit

ENVIRONMENTS = "environments"
PROPOSALS = "promote/"
ROLLBACKS = "rollback/"
RETRY_SECONDS = 60.0
_LOCK_SECONDS = 60.0
_HELD_SECONDS = 5.0
"""So long somebody else's push may hold the branch without landing."""
_FALLBACK_IDENTITY = ("Bakehouse", "bakehouse@localhost")


Plan = Callable[["Snapshot"], Change | None]


@dataclass(frozen=True)
class Snapshot:
    """The environments as one revision has them."""

    repository: GitopsRepository
    revision: str

    @cached_property
    def files(self) -> dict[str, Blob]:
        """Every file under `environments/`, by path."""
        listing = git.run(self.repository.cache, "ls-tree", "-r", "-z", "--full-tree", self.revision, ENVIRONMENTS)
        found = {}
        for row in filter(None, listing.decode(errors="surrogateescape").split("\0")):
            meta, path = row.split("\t", 1)
            mode, kind, oid = meta.split()
            if kind == "blob" and mode != "120000":
                found[path] = Blob(oid)
        return found

    def under(self, folder: str) -> dict[str, Blob]:
        """The files of one folder, by their path from the repository's root."""
        prefix = folder.rstrip("/") + "/"
        return {path: blob for path, blob in self.files.items() if path.startswith(prefix)}

    def text(self, path: str) -> str | None:
        """A file's text, or None where this revision has no such file. Raises `ReleaseError` where it isn't UTF-8."""
        blob = self.files.get(path)
        return None if blob is None else self.repository.texts([blob], [path])[0]


class GitopsRepository:
    """The repository behind `url`, of which `branch` is what is delivered. Make one with `open`."""

    def __init__(self, url: str, branch: str, cache: Path) -> None:
        self.url = url
        self.branch = branch
        self.cache = cache
        self._head: str | None = None

    @classmethod
    def open(cls, url: str | None = None, branch: str | None = None) -> GitopsRepository:
        """The repository at `url` (default: the workspace's). The laptop's own is made on first use, from the
        checkout's `environments/`. Nothing is fetched before something is read."""
        url = url or workspace.gitops_url()
        branch = branch or workspace.gitops_branch()
        own = workspace.state() / "gitops.git"
        if Path(url) == own and not own.exists():
            from gitops.foundation import found

            found(own, branch, workspace.root())
        name = hashlib.sha256(f"{url}\n{branch}".encode()).hexdigest()[:16]
        return cls(url, branch, workspace.state() / "git" / f"{name}.git")

    def fetch(self) -> str:
        """Get what is new and return the branch's head. Raises `ReleaseError` that says why when it can't."""
        try:
            self._head = self._fetch()
        except git.GitError as failure:
            if not self._cache_is_broken():
                raise git.explain(failure, self.url, self.branch) from failure
            self._start_over()
        return self.head()

    def head(self) -> str:
        """The branch's head as last fetched (or made) by this object; fetches where it has not yet."""
        return self._head or self.fetch()

    def at(self, revision: str | None = None) -> Snapshot:
        """The environments at a revision (anything git understands), by default at the head."""
        return Snapshot(self, self.head() if revision is None else self.resolve(revision))

    def resolve(self, revision: str) -> str:
        """The full name of a revision. Raises `ReleaseError` where the repository has none of that name."""
        if revision == self.head():
            return revision
        try:
            found = git.run(
                self.cache, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"
            )
        except git.GitError as failure:
            raise ReleaseError(
                f"The GitOps repository has no revision {revision}.", "`bakehouse history` lists the commits."
            ) from failure
        return found.decode().split()[-1]

    def contains(self, commit: str, head: str) -> bool:
        """Whether `commit` is in the history of `head`."""
        try:
            git.run(self.cache, "merge-base", "--is-ancestor", commit, head)
        except git.GitError:
            return False
        return True

    def log(self, *paths: str, revision: str | None = None) -> Iterator[Touch]:
        """What happened to these paths (globs allowed) along the first-parent history, newest first, as it is read."""
        start = self.head() if revision is None else self.resolve(revision)
        specs = [f":(glob){path}" for path in paths]
        arguments = ["log", "-m", "--first-parent", "--raw", "--no-abbrev", "--no-renames", "--no-color"]
        with git.stream(self.cache, *arguments, f"--format={LOG_FORMAT}", start, "--", *specs) as lines:
            commit: Commit | None = None
            for line in lines:
                if line.startswith("\x1e"):
                    commit = parse_commit(line)
                elif line.startswith(":") and commit is not None:
                    meta, path = line.split("\t", 1)
                    blob = meta.split()[3]
                    yield Touch(commit, path, None if set(blob) == {"0"} else Blob(blob))

    def commit_at(self, revision: str) -> Commit:
        """One commit's own account of itself."""
        return parse_commit(
            git.run(self.cache, "log", "-1", "--no-color", f"--format={LOG_FORMAT}", self.resolve(revision)).decode(
                errors="replace"
            )
        )

    def texts(self, blobs: Sequence[Blob], names: Sequence[str] = ()) -> list[str]:
        """The text of many blobs, in the order given, by one process. `names` are what an error calls them."""
        if not blobs:
            return []
        try:
            contents = git.contents(self.cache, [blob.oid for blob in blobs])
        except git.GitError:  # our copy is damaged in a way that a fetch does not notice
            self._start_over()
            contents = git.contents(self.cache, [blob.oid for blob in blobs])
        found: list[str] = []
        for index, content in enumerate(contents):
            try:
                found.append(str(content, "utf-8"))
            except UnicodeDecodeError as error:
                name = names[index] if names else f"blob {blobs[index].oid[:10]}"
                raise ReleaseError(f"{name} is not UTF-8 text.", "Restore it from git.") from error
        return found

    def identity(self) -> str:
        """Who makes commits here, as git would write it: `Name <address>`."""
        names = self._identity()
        return f"{names['GIT_AUTHOR_NAME']} <{names['GIT_AUTHOR_EMAIL']}>"

    def commit(self, plan: Plan, watch: Sequence[str] = ()) -> Commit | None:
        """Land what `plan` makes of the head, or return None where it makes nothing of it.

        A push that lost a race is planned anew on the new head, so a plan checks its own conditions each time; but
        when one of the folders in `watch` was changed meanwhile, a `ReleaseError` names the commit that did it. Where
        the head stays where it is, there was no race, and a `ReleaseError` says why git refused.
        """
        deadline, stuck = time.monotonic() + RETRY_SECONDS, math.inf
        first = snapshot = Snapshot(self, self.fetch())
        for attempt in itertools.count():
            change = self._planned(plan, watch, first, snapshot)
            if change is None:
                return None
            made = self._make(change, snapshot.revision)
            try:
                self._push(made, self.branch)
                self._take_over(made)
                return self.commit_at(made)
            except git.GitError as failure:
                head = self.fetch()
                if self.contains(made, head):
                    return self.commit_at(made)
                if head != snapshot.revision:
                    stuck = math.inf
                elif not _may_pass(failure) or time.monotonic() > stuck:
                    raise git.explain(failure, self.url, self.branch) from failure
                else:
                    stuck = min(stuck, time.monotonic() + _HELD_SECONDS)
                if time.monotonic() > deadline:
                    raise ReleaseError(
                        f"{change.subject}: others kept landing commits for {RETRY_SECONDS:.0f} s.", "Try again."
                    ) from failure
            time.sleep(random.uniform(0, min(1.0, 0.02 * 2 ** min(attempt, 6))))  # noqa: S311
            snapshot = Snapshot(self, head)
        raise AssertionError("unreachable")

    def propose(self, change: Change, branch: str) -> Commit:
        """Push a commit on the head to a branch of its own, for review. Raises `ReleaseError` where there is one."""
        made = self._make(change, self.head())
        try:
            self._push(made, branch)
        except git.GitError as failure:
            if _is_taken(failure):
                raise ReleaseError(
                    f"The branch {branch} exists already and holds something else.",
                    f"Merge it, or delete it (`git push URL --delete {branch}`), and try again.",
                ) from failure
            raise git.explain(failure, self.url, branch) from failure
        return self.commit_at(made)

    def proposal(self, branch: str) -> Snapshot | None:
        """What a branch proposes, or None where there is no such branch (as of the last fetch)."""
        self.head()
        try:
            found = git.run(self.cache, "rev-parse", "--verify", "--quiet", f"refs/heads/{branch}")
        except git.GitError:
            return None
        return Snapshot(self, found.decode().strip())

    def proposals(self) -> Iterator[tuple[str, Snapshot, Snapshot]]:
        """Each branch that proposes something (as of the last fetch): its name, where it left ours, what it has."""
        listing = ("for-each-ref", "--format=%(refname:lstrip=2) %(objectname)", f"--no-merged={self.head()}")
        for row in git.run(self.cache, *listing, f"refs/heads/{PROPOSALS}").decode(errors="replace").splitlines():
            name, tip = row.rsplit(" ", 1)
            try:
                base = git.run(self.cache, "merge-base", self.head(), tip).decode().strip()
            except git.GitError:  # it shares no commit with ours, so that nothing could merge it
                continue
            yield name, Snapshot(self, base), Snapshot(self, tip)

    def _planned(self, plan: Plan, watch: Sequence[str], first: Snapshot, latest: Snapshot) -> Change | None:
        """What the plan makes of the latest head. Where a watched folder is another than at first, that is only good
        if nothing is left to do."""
        changed = next((folder for folder in watch if first.under(folder) != latest.under(folder)), None)
        try:
            change = plan(latest)
        except BakehouseError as error:
            if changed is None:
                raise
            raise self._lost_to_winner(changed, latest) from error
        if change is not None and changed is not None:
            raise self._lost_to_winner(changed, latest)
        return change

    def _lost_to_winner(self, folder: str, latest: Snapshot) -> ReleaseError:
        winner = next(self.log(f"{folder}/**", revision=latest.revision)).commit
        return ReleaseError(
            f"Lost the race for {folder} to {winner.author}: {winner.subject} (commit {winner.short}).",
            "Look at `bakehouse status`, and run the command again if you still want it.",
        )

    def _make(self, change: Change, parent: str) -> str:
        """Write the objects of a commit into the cache; no ref moves."""
        with tempfile.TemporaryDirectory(prefix="bakehouse-") as folder:
            index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
            contents = {path: content for path, content in change.files.items() if isinstance(content, bytes)}
            for number, content in enumerate(contents.values()):
                (Path(folder) / str(number)).write_bytes(content)
            listed = "".join(f"{folder}/{number}\n" for number in range(len(contents))).encode()
            hashed = git.run(self.cache, "hash-object", "-w", "--no-filters", "--stdin-paths", stdin=listed).split()
            written = dict(zip(contents, (oid.decode() for oid in hashed), strict=True))
            git.run(self.cache, "read-tree", parent, extra=index)
            rows = []
            for path, wanted in change.files.items():
                oid = wanted.oid if isinstance(wanted, Blob) else written.get(path, "0" * 40)
                rows.append(f"{'0' if wanted is None else '100644'} {oid}\t{path}\0")
            index_rows = "".join(rows).encode(errors="surrogateescape")  # a name in git need not be UTF-8
            git.run(self.cache, "update-index", "-z", "--index-info", stdin=index_rows, extra=index)
            tree = git.run(self.cache, "write-tree", extra=index).decode().strip()
        message = change.message().encode(errors="replace")
        arguments = ("commit-tree", tree, "-p", parent)
        return git.run(self.cache, *arguments, stdin=message, extra=self._identity()).decode().strip()

    def _push(self, commit: str, branch: str) -> None:
        git.run(
            self.cache,
            "push",
            "--quiet",
            "--no-verify",
            self.url,
            f"{commit}:refs/heads/{branch}",
            timeout=git.NETWORK_TIMEOUT_SECONDS,
        )

    def _take_over(self, head: str) -> None:
        """Know the new head without asking the other side for it again."""
        with self._locked():
            git.run(self.cache, "update-ref", f"refs/heads/{self.branch}", head)
        self._head = head

    def _fetch(self) -> str:
        with self._locked() as lock:
            self._prepare_cache()
            specs = [
                f"+refs/heads/{name}:refs/heads/{name}" for name in (self.branch, f"{PROPOSALS}*", f"{ROLLBACKS}*")
            ]
            arguments = ("fetch", "--quiet", "--no-tags", "--prune", "--no-write-fetch-head", self.url, *specs)
            git.run(self.cache, *arguments, timeout=git.NETWORK_TIMEOUT_SECONDS, keep_open=(lock,))
        return git.run(self.cache, "rev-parse", "--verify", f"refs/heads/{self.branch}^{{commit}}").decode().strip()

    def _prepare_cache(self) -> None:
        """Make the cache where there is none; take away what a killed run left. The caller holds the cache's lock."""
        if not (self.cache / "HEAD").exists():
            shutil.rmtree(self.cache, ignore_errors=True)
            self.cache.parent.mkdir(parents=True, exist_ok=True)
            arguments = ("init", "--quiet", "--bare", "--template=", f"--initial-branch={self.branch}")
            git.run(self.cache.parent, *arguments, str(self.cache))
        for stale in (*self.cache.glob("*.lock"), *(self.cache / "refs").rglob("*.lock")):
            stale.unlink(missing_ok=True)

    def _start_over(self) -> None:
        """Throw the copy away and get a new one."""
        with self._locked():
            shutil.rmtree(self.cache, ignore_errors=True)
        try:
            self._head = self._fetch()
        except git.GitError as failure:
            raise git.explain(failure, self.url, self.branch) from failure

    def _cache_is_broken(self) -> bool:
        """Whether the cache itself, rather than the repository, is what git complains of."""
        if not (self.cache / "HEAD").exists():
            return self.cache.exists()
        try:
            git.run(self.cache, "fsck", "--connectivity-only", "--no-dangling", "--no-progress")
        except git.GitError:
            return True
        return False

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """Hold the cache alone. The system lets go of the lock when the last process that inherited it has ended, so
        a killed run leaves none behind, and its git child still finishes undisturbed."""
        self.cache.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(self.cache.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            deadline = time.monotonic() + _LOCK_SECONDS
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise ReleaseError(
                            f"Another process has held {self.cache} for {_LOCK_SECONDS:.0f} s.",
                            "End it, or wait for it, and try again.",
                        ) from None
                    time.sleep(0.01)
            yield lock
        finally:
            os.close(lock)

    def _identity(self) -> dict[str, str]:
        """The user's git identity for author and committer; our own where git knows none."""
        found: dict[str, str] = {}
        for role in ("AUTHOR", "COMMITTER"):
            try:
                said = git.run(workspace.state(), "var", f"GIT_{role}_IDENT").decode(errors="replace")
                name, address = said.rsplit(">", 1)[0].split(" <", 1)
            except git.GitError:
                name, address = _FALLBACK_IDENTITY
            found |= {f"GIT_{role}_NAME": name, f"GIT_{role}_EMAIL": address}
        return found


def _may_pass(failure: git.GitError) -> bool:
    """Whether a push was refused because somebody else's landed first or is about to, rather than for a reason that is
    plainly another."""
    signs = ("fetch first", "non-fast-forward", "cannot lock ref", "failed to update ref", "incorrect old value")
    return any(sign in failure.stderr for sign in signs)


def _is_taken(failure: git.GitError) -> bool:
    """Whether a push was refused because there is a branch of that name."""
    return any(sign in failure.stderr for sign in ("fetch first", "non-fast-forward", "reference already exists"))
