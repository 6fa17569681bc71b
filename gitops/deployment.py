"""One model in one environment on its way from release to release: start, check, switch, stop.

Holds which release should answer and what was seen of it. Knows nothing of git, and starts no process itself.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from bakehouse.errors import BakehouseError
from gitops import processes
from gitops.front import Front
from gitops.observations import Observation, Pinned, Status
from gitops.processes import Backend, Start
from gitops.release import Release

logger = logging.getLogger("bakehouse.delivery")

_LONGEST_PAUSE_SECONDS = 600.0
_FIRST_RESTART_SECONDS = 0.5
_LONGEST_RESTART_SECONDS = 30.0
_LIVED_LONG_ENOUGH_SECONDS = 60.0


class Patience(Protocol):
    """How long each thing may take, and how often it is looked at."""

    @property
    def health_deadline_seconds(self) -> float: ...
    @property
    def drain_seconds(self) -> float: ...
    @property
    def grace_seconds(self) -> float: ...
    @property
    def retry_seconds(self) -> float: ...
    @property
    def check_seconds(self) -> float: ...
    @property
    def misses_until_unhealthy(self) -> int: ...


@dataclass(frozen=True)
class Wanted:
    """What git wants: a release, or the problem with its document. `commit` is the one that put it there."""

    release: Release | None
    pinned: Pinned | None
    problem: str
    commit: str


class Deployment:
    """Follows what is wanted. `run` is its whole life; `want` may be called at any time."""

    def __init__(
        self,
        *,
        environment: str,
        model: str,
        front: Front,
        start: Start,
        settings: Patience,
        changed: Callable[[], None],
        known_good: Wanted | None = None,
    ) -> None:
        self.environment = environment
        self.model = model
        self._front = front
        self._start = start
        self._settings = settings
        self._changed = changed
        self._known_good = known_good
        self._wanted: Wanted | None = None
        self._refused: Wanted | None = None
        self._refusals = 0
        self._retry_at = math.inf
        self._live: Backend | None = None
        self._since: datetime | None = None
        self._misses = 0
        self._deaths = 0
        self._message = ""
        self._woken = asyncio.Event()
        self._stopping: set[asyncio.Task[None]] = set()

    def want(self, wanted: Wanted | None) -> None:
        """Take over what git wants now, and give a release that failed before another chance."""
        if wanted != self._wanted:
            self._refusals = 0
        if wanted is None:  # git took it out: nothing of it comes back by itself
            self._known_good = None
        self._wanted = wanted
        self._refused = None
        self._woken.set()

    @property
    def settled(self) -> bool:
        """Whether nothing is under way: what is wanted answers, or was tried and failed."""
        if self._woken.is_set():
            return False
        if self._wanted is None:
            return self._live is None and not self._stopping
        return self._failed or self._in_place

    @property
    def observation(self) -> Observation | None:
        """What is to be seen from outside; None where nothing is wanted and nothing runs."""
        if self._wanted is None and self._live is None:
            return None
        return Observation(
            environment=self.environment,
            model=self.model,
            status=self._status(),
            wanted=self._wanted.pinned if self._wanted else None,
            running=self._live.pinned if self._live else None,
            healthy=self._answering,
            since=self._since if self._answering else None,
            message=self._message,
            url=f"{self._front.url}/{self.model}",
        )

    async def run(self) -> None:
        """Follow until cancelled, then stop everything that was started."""
        try:
            while True:
                self._woken.clear()
                await self._turn()
        finally:
            self._retire()
            await asyncio.gather(*self._stopping, return_exceptions=True)

    async def _turn(self) -> None:
        """One step towards what is wanted, or one wait for something to happen."""
        self._reconsider()
        target = self._known_good if self._failed else self._wanted
        if target is None or target.release is None or target.pinned is None:
            self._retire()
            self._changed()
            await self._something(self._retry_at - _now() if self._failed else math.inf)
        elif self._live is None or self._live.pinned.release_digest != target.pinned.release_digest:
            await self._bring_up(target, target.release, target.pinned)
        elif not self._live.alive:
            await self._bury(self._live)
        else:
            if target is self._wanted and (self._live.pinned != target.pinned or self._message) and self._since:
                self._settle(self._live, target, target.pinned)
            await self._look_after(self._live)

    def _reconsider(self) -> None:
        """Forgive a release whose pause is over; refuse a document that can't be read."""
        if self._failed and _now() >= self._retry_at:
            self._refused = None
        if self._wanted is not None and self._wanted.release is None and not self._failed:
            self._refuse(self._wanted.problem)
            self._retry_at = math.inf  # it stays unreadable until another commit

    async def _bring_up(self, target: Wanted, release: Release, pinned: Pinned) -> None:
        """Start, check, switch. The one that answers keeps answering until the new one does."""
        version = f"version {release.model_version}"
        self._log(f"{version} is starting (commit {target.commit[:10]})")
        if target is self._wanted:
            self._see(f"{version} is being started")
        candidate: Backend | None = None
        try:
            candidate = await processes.start(self.environment, pinned, release, self._start)
            if not await self._unless_woken(candidate.ready(self._settings.health_deadline_seconds)):
                return  # git wants something else by now
            self._switch(candidate)
            candidate = None
        except (BakehouseError, OSError) as error:  # a full disk, too, is no reason to stop the one that answers
            self._give_up(target, f"{version} did not come up: {error}")
            return
        finally:
            if candidate is not None:  # no request was ever sent to it
                self._stop(candidate, grace_seconds=1)
        self._log(f"{version} answers")
        self._known_good = target
        self._see("" if target is self._wanted else self._message)

    def _switch(self, candidate: Backend) -> None:
        old, self._live = self._live, candidate
        self._front.switch(self.model, candidate.upstream)
        self._since, self._misses = datetime.now(UTC), 0
        if old is not None:
            self._stop(old)

    def _give_up(self, target: Wanted, why: str) -> None:
        if target is self._wanted:
            self._refuse(why)
        else:
            self._known_good = None
            self._log(why, logging.WARNING)

    def _refuse(self, why: str) -> None:
        """Leave what is wanted alone for a while, twice as long each time, or until git changes."""
        self._refused = self._wanted
        self._retry_at = _now() + min(_LONGEST_PAUSE_SECONDS, self._settings.retry_seconds * 2.0**self._refusals)
        self._refusals += 1
        self._log(why, logging.WARNING)
        self._see(why)

    def _settle(self, live: Backend, target: Wanted, pinned: Pinned) -> None:
        """The same release, put there by another commit perhaps, needs no new process."""
        live.pinned = pinned
        self._known_good = target
        self._see("")

    async def _bury(self, dead: Backend) -> None:
        """Say that the live process died, and pause a little longer each time; the next turn starts it anew."""
        lived = _now() - dead.started
        self._deaths = 0 if lived > _LIVED_LONG_ENOUGH_SECONDS else self._deaths + 1
        why = f"its process ended with exit code {dead.exited.result()}: {dead.last_words()}"
        self._log(why, logging.WARNING)
        self._retire()
        if not self._failed:
            self._see(why)
        if self._deaths:
            await self._something(min(_LONGEST_RESTART_SECONDS, _FIRST_RESTART_SECONDS * 2 ** (self._deaths - 1)))

    async def _look_after(self, live: Backend) -> None:
        """Wait until something happens; where nothing does for a while, see that it still answers."""
        if await self._something(self._settings.check_seconds, live):
            return
        self._misses = 0 if await live.answers() else self._misses + 1
        if self._misses == self._settings.misses_until_unhealthy and live.alive:
            self._since = None
            self._log(f"did not answer /readyz {self._misses} times in a row", logging.WARNING)
            self._see(self._message or f"it runs, but did not answer /readyz {self._misses} times in a row")
        elif self._misses == 0 and self._since is None:
            self._since = datetime.now(UTC)
            self._changed()

    def _retire(self) -> None:
        """Nothing of this model answers any more."""
        live, self._live = self._live, None
        self._since = None
        if live is not None:
            self._front.switch(self.model, None)
            self._stop(live)

    def _stop(self, backend: Backend, grace_seconds: float | None = None) -> None:
        grace = self._settings.grace_seconds if grace_seconds is None else grace_seconds
        task = asyncio.create_task(backend.stop(self._settings.drain_seconds, grace))
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)

    async def _unless_woken(self, work: Coroutine[Any, Any, None]) -> bool:
        """Whether the work was done; False where something else was wanted first, and the work given up."""
        task, woken = asyncio.create_task(work), asyncio.create_task(self._woken.wait())
        try:
            await asyncio.wait({task, woken}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                await task
                return True
            return False
        finally:
            task.cancel()
            woken.cancel()

    async def _something(self, seconds: float, live: Backend | None = None) -> bool:
        """Wait until something else is wanted or the live process ends, but not longer than that. False if neither."""
        woken = asyncio.create_task(self._woken.wait())
        events: set[asyncio.Task[Any]] = {woken} if live is None else {woken, live.exited}
        try:
            timeout = None if math.isinf(seconds) else max(0.0, seconds)
            done, _ = await asyncio.wait(events, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            return bool(done)
        finally:
            woken.cancel()

    @property
    def _failed(self) -> bool:
        return self._wanted is not None and self._wanted is self._refused

    @property
    def _answering(self) -> bool:
        return self._live is not None and self._live.alive and self._since is not None

    @property
    def _in_place(self) -> bool:
        live, wanted = self._live, self._wanted
        return self._answering and live is not None and wanted is not None and live.pinned == wanted.pinned

    def _status(self) -> Status:
        if self._wanted is None:
            return "stopped"
        if self._failed:
            return "failed"
        return "running" if self._live is not None and self._live.pinned == self._wanted.pinned else "starting"

    def _see(self, message: str) -> None:
        self._message = message
        self._changed()

    def _log(self, message: str, level: int = logging.INFO) -> None:
        logger.log(level, "%s/%s: %s", self.environment, self.model, message)


def _now() -> float:
    return asyncio.get_running_loop().time()
