"""Local delivery: the processes of this machine follow the head of the GitOps repository.

Not a second Argo CD: it knows start, check, switch, stop. Holds the loop over git, what it wants, and the settings;
one model's turn from release to release stands in `gitops/deployment.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat, PositiveInt, ValidationError

from bakehouse import workspace
from bakehouse.errors import BakehouseError, ConfigurationError, DeliveryError, ReleaseError
from gitops import git
from gitops.deployment import Deployment, Wanted
from gitops.front import Front
from gitops.observations import Observation, Pinned, observations, record, recorded
from gitops.processes import Start, end_orphans, serving
from gitops.release import RELEASE_FILE, Release
from gitops.repository import ENVIRONMENTS, GitopsRepository, Snapshot

__all__ = ["Settings", "deliver", "observations", "settings"]

SETTINGS_FILE = "environments/local/delivery.yaml"

logger = logging.getLogger("bakehouse.delivery")


class Address(BaseModel):
    """Where an environment answers on this machine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    port: int = Field(ge=1, le=65535)


class Settings(BaseModel):
    """`environments/local/delivery.yaml`, where each key is explained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = "127.0.0.1"
    environments: dict[str, Address] = Field(min_length=1)
    poll_seconds: PositiveFloat = 0.3
    health_deadline_seconds: PositiveFloat = 60
    drain_seconds: NonNegativeFloat = 10
    grace_seconds: NonNegativeFloat = 10
    retry_seconds: PositiveFloat = 60
    check_seconds: PositiveFloat = 2
    misses_until_unhealthy: PositiveInt = 3
    after_sync: str = ""

    def url(self, environment: str, model: str = "") -> str:
        """Where an environment, or a model in it, answers."""
        return f"http://{self.host}:{self.environments[environment].port}/{model}"

    def only(self, environments: Sequence[str]) -> Settings:
        """These settings for some of the environments (all where none is named). Raises `ConfigurationError` for an
        unknown one."""
        for name in environments:
            if name not in self.environments:
                raise ConfigurationError(
                    f"{SETTINGS_FILE} has no environment {name}.", f"It has {', '.join(self.environments)}."
                )
        named = environments or list(self.environments)
        return self.model_copy(update={"environments": {name: self.environments[name] for name in named}})


def settings() -> Settings:
    """How this machine delivers. Raises `ConfigurationError` naming the key that is wrong."""
    path = workspace.root() / SETTINGS_FILE
    try:
        return Settings.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigurationError(f"{path} can't be read: {error.strerror}.", "Restore it from git.") from error
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path} is not YAML: {error}.", "Correct it.") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the document"
        raise ConfigurationError(f"{path}: {key}: {first['msg']}.", "Correct it.") from error


def deliver(environments: Sequence[str] = (), *, once: bool = False, start: Start = serving) -> None:
    """Follow git in the foreground until SIGINT, SIGTERM or SIGHUP, then stop everything that was started.

    With `once`, return when everything that git wants now has come up, after stopping it again; that raises
    `DeliveryError` naming what did not come up. Raises `DeliveryError` when another delivery has this state folder or
    a port is taken.
    """
    chosen = settings().only(environments)
    with _alone():
        left_behind = end_orphans()
        if left_behind:
            logger.info("ended %d processes that an earlier delivery left behind", left_behind)
        try:
            failed = asyncio.run(_Delivery(chosen, GitopsRepository.open(), start).run(once=once))
        finally:
            end_orphans()  # a start that was cut off half-way is in nobody's list
    if failed:
        lines = "".join(f"\n  - {seen.environment}/{seen.model}: {seen.message}" for seen in failed)
        raise DeliveryError(f"Not everything that git wants came up:{lines}")


class _Delivery:
    def __init__(self, chosen: Settings, repository: GitopsRepository, start: Start) -> None:
        self._settings = chosen
        self._repository = repository
        self._start = start
        self._earlier = recorded()
        self._head: str | None = None
        self._message = ""
        self._recorded = True
        self._stopping = asyncio.Event()
        self._fronts = {
            name: Front(name, chosen.host, address.port, partial(self._seen, name))
            for name, address in chosen.environments.items()
        }
        self._deployments: dict[tuple[str, str], Deployment] = {}
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._after_sync = AfterSync(chosen.after_sync)

    async def run(self, *, once: bool) -> list[Observation]:
        """Follow git until stopped; what failed, where only one pass was asked for."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._stopping.set)
        opened: list[Front] = []
        try:
            for front in self._fronts.values():
                await front.open()
                opened.append(front)
                logger.info("%s answers at %s", front.environment, front.url)
            return await self._follow(once=once)
        finally:
            # The front first, so that no new request meets a process that is being stopped.
            await asyncio.gather(*(front.close() for front in opened))
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)
            await self._after_sync.stop()
            logger.info("everything is stopped")

    async def _follow(self, *, once: bool) -> list[Observation]:
        acted_upon: str | None = None
        self._record()
        while not self._stopping.is_set():
            for task in self._tasks.values():
                if task.done():  # none ends by itself: what it raised must not pass in silence
                    task.result()
            if not self._recorded:
                self._record()
            await self._look_at_git()
            if self._head is not None and self._settled():
                if once:
                    return [seen for seen in self._all_seen() if seen.status == "failed"]
                if acted_upon != self._head:
                    acted_upon = self._head
                    self._after_sync.wanted()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), self._settings.poll_seconds)
        return []

    async def _look_at_git(self) -> None:
        """Take over what the head wants, where it moved. Where it can't be reached or copied, all stays as it is."""
        try:
            head = await asyncio.to_thread(_head_of, self._repository)
            if head == self._head:
                self._say("")
                return
            wanted = await asyncio.to_thread(desired, self._repository, tuple(self._fronts))
        except (BakehouseError, OSError) as error:
            self._say(str(error))
            return
        self._head = head
        self._message = ""
        logger.info("git is at %s", head[:10])
        for key in {*wanted, *self._deployments}:
            await self._want(key, wanted.get(key))
        self._record()

    async def _want(self, key: tuple[str, str], wanted: Wanted | None) -> None:
        if key not in self._deployments:
            environment, model = key
            deployment = Deployment(
                environment=environment,
                model=model,
                front=self._fronts[environment],
                start=self._start,
                settings=self._settings,
                changed=self._record,
                known_good=await asyncio.to_thread(self._known_good, environment, model),
            )
            self._deployments[key] = deployment
            self._tasks[key] = asyncio.create_task(deployment.run(), name=f"{environment}/{model}")
        self._deployments[key].want(wanted)

    def _known_good(self, environment: str, model: str) -> Wanted | None:
        """What answered last before this delivery began: should the wanted release fail, that one answers again."""
        seen = self._earlier.of(environment, model)
        if seen is None or seen.running is None:
            return None
        try:
            snapshot = self._repository.at(seen.running.commit)
            return wanted_at(snapshot, environment, model, seen.running.commit)
        except BakehouseError:
            return None

    def _settled(self) -> bool:
        return all(deployment.settled for deployment in self._deployments.values())

    def _seen(self, environment: str) -> list[Observation]:
        return [seen for seen in self._all_seen() if seen.environment == environment]

    def _all_seen(self) -> list[Observation]:
        found = (deployment.observation for _, deployment in sorted(self._deployments.items()))
        return [seen for seen in found if seen is not None]

    def _say(self, message: str) -> None:
        if message != self._message:
            self._message = message
            if message:
                logger.warning("%s", message)
            self._record()

    def _record(self) -> None:
        """Say what is seen. Where that can't be written, `_follow` tries again, and what answers goes on answering."""
        try:
            record(self._head, tuple(self._all_seen()), self._message)
        except OSError as error:
            if self._recorded:
                logger.warning("what is seen can't be recorded: %s", error)
            self._recorded = False
        else:
            self._recorded = True


def desired(repository: GitopsRepository, environments: Sequence[str]) -> dict[tuple[str, str], Wanted]:
    """What the head wants in these environments, by environment and model. A document that can't be read is wanted
    all the same, with the reason, so that it is reported and what runs stays."""
    snapshot = repository.at()
    wanted = {}
    for path in snapshot.files:
        parts = path.split("/")
        if len(parts) != 5 or parts[0] != ENVIRONMENTS or parts[3:] != ["release", RELEASE_FILE]:
            continue
        environment, model = parts[1], parts[2]
        if environment in environments:
            touched = next(repository.log(f"{ENVIRONMENTS}/{environment}/{model}/release/**"), None)
            commit = touched.commit.sha if touched is not None else snapshot.revision
            wanted[environment, model] = wanted_at(snapshot, environment, model, commit)
    return wanted


def wanted_at(snapshot: Snapshot, environment: str, model: str, commit: str) -> Wanted:
    """What one revision wants of one model in one environment. `commit` is the one that put the release there."""
    path = f"{ENVIRONMENTS}/{environment}/{model}/release/{RELEASE_FILE}"
    try:
        text = snapshot.text(path)
        if text is None:
            raise ReleaseError(f"{path} is not there.")
        release = Release.from_json(text, path)
        if release.model != model:
            raise ReleaseError(f"{path} is a release of {release.model}.", "Restore it from git.")
    except ReleaseError as error:
        return Wanted(None, None, str(error), commit)
    pinned = Pinned(
        commit=commit,
        model_version=release.model_version,
        image_digest=release.image.digest,
        release_digest=release.digest,
    )
    return Wanted(release, pinned, "", commit)


@dataclass
class AfterSync:
    """Runs a command after a commit was acted upon, one at a time, beside the loop and without a say in it."""

    command: str
    _task: asyncio.Task[None] | None = None
    _again: bool = False

    def wanted(self) -> None:
        """Run it soon; if it is running, once more after that."""
        if not self.command:
            return
        if self._task is not None and not self._task.done():
            self._again = True
            return
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Let what is running finish, but not for long: it only mirrors, and the next start mirrors again."""
        if self._task is not None:
            self._again = False
            await asyncio.wait({self._task}, timeout=5)
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            self._again = False
            await self._once()
            if not self._again:
                return

    async def _once(self) -> None:
        arguments = shlex.split(self.command)
        if arguments[0] == "python":  # this one, whatever is first on the PATH
            arguments[0] = sys.executable
        log = workspace.state() / "logs" / "after_sync.log"
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("ab") as output:
                process = await asyncio.create_subprocess_exec(
                    "nice",
                    *arguments,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=asyncio.subprocess.STDOUT,
                    cwd=workspace.root(),
                    start_new_session=True,
                )
        except OSError as error:
            logger.warning("after_sync can't be run: %s", error)
            return
        try:
            code = await process.wait()
        except asyncio.CancelledError:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            raise
        if code != 0:
            logger.warning("after_sync ended with exit code %d (log: %s)", code, log)


def _head_of(repository: GitopsRepository) -> str:
    """The branch's head. One cheap question; everything is fetched only when the answer is new."""
    try:
        known = repository.head()
        reference = f"refs/heads/{repository.branch}"
        listing = git.run(repository.cache, "ls-remote", repository.url, reference, timeout=git.NETWORK_TIMEOUT_SECONDS)
    except git.GitError as failure:
        raise git.explain(failure, repository.url, repository.branch) from failure
    if listing.decode().split("\t")[0] == known:
        return known
    return repository.fetch()


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Hold the delivery lock of the state folder; the kernel gives it back however this process ends."""
    path: Path = workspace.state() / "delivery" / "lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            raise DeliveryError(
                f"Another `bakehouse deliver` (process {lock.read().strip() or 'unknown'}) delivers from"
                f" {workspace.state()} already.",
                "Stop it first, or leave it: it follows git by itself.",
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
