"""Git as a program: one process run in a clean environment, and its complaints turned into errors a person can act on.

Holds no knowledge of environments or releases.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from bakehouse.errors import ReleaseError

NETWORK_TIMEOUT_SECONDS = 120.0
_GRACE_SECONDS = 1.0
_LONGEST_HEADER = 200

# What a caller's hook or shell may have set, and what would make git look at another repository than the one named.
_FOREIGN = (
    "GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES GIT_COMMON_DIR"
    " GIT_NAMESPACE GIT_PREFIX GIT_QUARANTINE_PATH GIT_CEILING_DIRECTORIES GIT_EXTERNAL_DIFF GIT_TRACE"
).split()
# The user's own configuration is kept (credentials, proxies, identity); what would run his hooks, ask for his
# signing key or start work in the background is not.
_SETTINGS = {
    "core.hooksPath": os.devnull,
    "core.quotePath": "false",
    "commit.gpgSign": "false",
    "push.gpgSign": "false",
    "push.followTags": "false",
    "push.recurseSubmodules": "no",
    "fetch.recurseSubmodules": "no",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "i18n.commitEncoding": "utf-8",
    "i18n.logOutputEncoding": "utf-8",
    "log.showSignature": "false",
    "diff.renames": "false",
    "core.autocrlf": "false",
}
_OPTIONS = [part for key, value in _SETTINGS.items() for part in ("-c", f"{key}={value}")]


class GitError(ReleaseError):
    """A git process that ended with another `code` than 0; `stderr` is what it said. `explain` says more of it where it
    was about the GitOps repository rather than our copy."""

    def __init__(self, arguments: Sequence[str], code: int, stderr: str) -> None:
        super().__init__(
            f"git {arguments[0]} ended with code {code}: {_said(stderr)}",
            "If it happens again, delete the folder `git` in the state folder: it is only a copy.",
        )
        self.code = code
        self.stderr = stderr


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The process environment for git: never a question on the terminal, messages in English, no foreign repository."""
    kept = {key: value for key, value in os.environ.items() if key not in _FOREIGN}
    return kept | {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"} | dict(extra or {})


def command(directory: Path, arguments: Sequence[str]) -> list[str]:
    """The argument vector for a git process in `directory`."""
    return ["git", "-C", str(directory), *_OPTIONS, *arguments]


def run(
    directory: Path,
    *arguments: str,
    stdin: bytes = b"",
    extra: Mapping[str, str] | None = None,
    timeout: float | None = None,
    keep_open: tuple[int, ...] = (),
) -> bytes:
    """Run git and return what it printed. Raises `GitError`, and `ReleaseError` where git itself is missing or hangs.

    The process gets a session of its own, so that ssh can't ask on the terminal either, and so that what it started
    (ssh, or git's part for https) ends with it. `keep_open` are file descriptors that it inherits (a lock that must
    outlive us when we are killed).
    """
    try:
        with subprocess.Popen(
            command(directory, arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(extra),
            start_new_session=True,
            pass_fds=keep_open,
        ) as process:
            try:
                printed, complaint = process.communicate(stdin, timeout)
            except BaseException:  # Ctrl-C as well
                _end_group(process)
                raise
    except FileNotFoundError as error:
        raise ReleaseError("git was not found.", "Install git 2.30 or newer.") from error
    except subprocess.TimeoutExpired as error:
        raise ReleaseError(
            f"git {arguments[0]} did not answer within {timeout:.0f} s.", "Check the connection and try again."
        ) from error
    if process.returncode != 0:
        raise GitError(arguments, process.returncode, complaint.decode(errors="replace"))
    return printed


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End git and everything that it started, which may hold a lock of ours or of the repository; first so that each
    can take its own locks away."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_SECONDS)
        os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def stream(directory: Path, *arguments: str) -> Iterator[Iterator[str]]:
    """Run git and give its lines while it still runs; leaving the block ends it. Raises `GitError` as `run` does."""
    with subprocess.Popen(
        command(directory, arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        text=True,
        encoding="utf-8",
        errors="replace",
    ) as process:
        try:
            yield _lines(process, arguments)
        finally:
            process.kill()


def _lines(process: subprocess.Popen[str], arguments: Sequence[str]) -> Iterator[str]:
    for line in process.stdout or ():
        yield line.rstrip("\n")
    complaint = process.stderr.read() if process.stderr is not None else ""
    if process.wait() != 0:
        raise GitError(arguments, process.returncode, complaint)


def contents(directory: Path, names: Sequence[str]) -> list[memoryview]:
    """The contents of many objects, in the order given, by one process. Raises `GitError` where one is missing."""
    request = "".join(f"{name}\n" for name in names).encode()
    answer = memoryview(run(directory, "cat-file", "--batch", stdin=request))
    found: list[memoryview] = []
    position = 0
    for name in names:
        end = bytes(answer[position : position + _LONGEST_HEADER]).index(b"\n") + position
        header = bytes(answer[position:end]).decode().split()
        if len(header) != 3:
            raise GitError(("cat-file",), 1, f"object {name} is missing")
        position = end + 1 + int(header[2]) + 1
        found.append(answer[end + 1 : position - 1])
    return found


def hide_credentials(url: str) -> str:
    """The address as it may be shown: without user and password."""
    return re.sub(r"(?<=://)[^/@]+@", "", url)


_REASONS: tuple[tuple[str, str, str], ...] = (
    (
        r"couldn't find remote ref|Remote branch .* not found",
        "The GitOps repository {url} has no branch {branch}.",
        "Push that branch, or name another one with BAKEHOUSE_GITOPS_BRANCH.",
    ),
    (
        r"dubious ownership",
        "git refuses the GitOps repository {url}: it belongs to another user.",
        "Allow it with `git config --global --add safe.directory PATH`.",
    ),
    (
        (
            r"Permission denied|Authentication failed|could not read Username|could not read Password|error: 403|"
            r"insufficient permission|unable to create temporary object directory|unpacker error|access denied"
        ),
        "No right to use the GitOps repository {url}: {said}",
        "Check the credentials that git uses for it.",
    ),
    (
        r"\.lock': File exists",
        "The GitOps repository {url} is locked: {said}",
        "If nobody is at work on it, a git that was killed left that file behind: remove it.",
    ),
    (
        r"cannot create '|refname conflict",
        "The GitOps repository {url} can't have a branch {branch}: another one's name is in its way: {said}",
        "Rename or delete that one.",
    ),
    (
        r"by hook|hook declined|protected branch|remote rejected",
        "The GitOps repository {url} refused the commit: {said}",
        "Look at its branch protection and hooks.",
    ),
    (
        (
            r"Could not resolve host|Connection (refused|timed out|reset)|unable to access|early EOF|"
            r"Network is unreachable|unexpected disconnect|Operation timed out|hung up unexpectedly"
        ),
        "The GitOps repository {url} can't be reached: {said}",
        "Check the network and the address, and try again: nothing was changed.",
    ),
    (
        (
            r"does not appear to be a git repository|[Rr]epository .*not (found|exist)|does not exist|No such file|"
            r"not a git repository"
        ),
        "There is no git repository at {url}.",
        "Check BAKEHOUSE_GITOPS_URL.",
    ),
)


def explain(failure: GitError, url: str, branch: str) -> ReleaseError:
    """What a failed fetch or push means for the person who asked for it."""
    shown = hide_credentials(url)
    said = _said(failure.stderr).replace(url, shown)
    for pattern, message, hint in _REASONS:
        if re.search(pattern, failure.stderr):
            return ReleaseError(message.format(url=shown, branch=branch, said=said), hint)
    return ReleaseError(f"git failed on the GitOps repository {shown}: {said}", "")


def _said(stderr: str) -> str:
    """The line of git's complaint that says most: a rejection, an error, else the first one."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    for marker in ("remote: error", "! [", "fatal:", "error:"):
        for line in lines:
            if marker in line:
                return line
    return lines[0] if lines else "it gave no reason."
