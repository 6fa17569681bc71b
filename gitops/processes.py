"""The processes that answer for a release on a laptop: one for each release, started, checked and stopped.

Knows one process at a time; which one should run, and which one requests go to, is decided elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import aiohttp
import psutil

from bakehouse import archives, workspace
from bakehouse.errors import DeliveryError
from gitops.front import Upstream
from gitops.leash import leashed
from gitops.observations import Pinned
from gitops.release import RELEASE_FILE, Release

Start = Callable[[Path, int], list[str]]

_MARK = "BAKEHOUSE_PROCESS_HOME"
# Below the ports that the kernel gives to outgoing connections, one of which could take it before the process does.
_PRIVATE_PORTS = range(20_000, 32_000)
_PROBE = aiohttp.ClientTimeout(total=5)
_TAIL = 16 * 1024


def serving(bento: Path, port: int) -> list[str]:
    """The command that serves an unpacked bento on a private port: its own, or BentoML's where it has none."""
    own = bento / "src" / "bentos" / "common" / "serve.py"
    if own.is_file():
        return [sys.executable, "-P", str(own), "--host", "127.0.0.1", "--port", str(port)]
    return bentoml_serve(bento, port)


def bentoml_serve(bento: Path, port: int) -> list[str]:
    """The command by which BentoML itself serves an unpacked bento: a supervisor and a worker."""
    options = ["--host", "127.0.0.1", "--port", str(port), "--api-workers", "1"]
    return [sys.executable, "-m", "bentoml", "serve", str(bento), *options]


@dataclass
class Backend:
    """One running process of one release. `upstream` is where the front sends requests while it is the live one."""

    environment: str
    release: Release
    pinned: Pinned
    process: asyncio.subprocess.Process
    upstream: Upstream
    log: Path
    home: Path
    started: float
    exited: asyncio.Task[int] = field(init=False)

    def __post_init__(self) -> None:
        self.exited = asyncio.create_task(self.process.wait())

    @property
    def alive(self) -> bool:
        """Whether the process runs at all."""
        return not self.exited.done()

    async def ready(self, deadline_seconds: float) -> None:
        """Return once it answers `/readyz` and names the pinned release. Raises `DeliveryError` when it stops first,
        names another release, or is not ready within the deadline."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + deadline_seconds
        while not (answering := await self.answers()) and self.alive and clock() < deadline:
            await asyncio.wait({self.exited}, timeout=0.1)
        if not self.alive:
            raise DeliveryError(f"it stopped with exit code {self.exited.result()}: {self.last_words()}")
        if not answering:
            raise DeliveryError(f"it was not ready within {deadline_seconds:g} s: {self.last_words()}")
        await self._names_the_pinned_release()

    async def answers(self) -> bool:
        """Whether `/readyz` says 200 just now."""
        try:
            async with self.upstream.session.get("/readyz", timeout=_PROBE) as response:
                return response.status == 200
        except (aiohttp.ClientError, OSError, TimeoutError):
            return False

    async def stop(self, drain_seconds: float, grace_seconds: float) -> None:
        """Let the requests in flight finish, then end it: SIGTERM, then SIGKILL to whatever of it is left."""
        await self.upstream.drained(drain_seconds)
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                self.process.terminate()
            await asyncio.wait({self.exited}, timeout=grace_seconds)
        await asyncio.to_thread(_end_all_from, self.home)
        await self.exited
        await self.upstream.close()
        await asyncio.to_thread(shutil.rmtree, self.home, ignore_errors=True)

    def last_words(self) -> str:
        """The last line of its log that says anything."""
        with contextlib.suppress(OSError), self.log.open("rb") as stream:
            stream.seek(max(0, self.log.stat().st_size - _TAIL))
            lines = [line.strip() for line in stream.read().decode(errors="replace").splitlines()]
            if said := [line for line in lines if line]:
                return f"{said[-1]} (log: {self.log})"
        return f"it said nothing (log: {self.log})"

    async def _names_the_pinned_release(self) -> None:
        wanted = {
            "model": self.release.model,
            "model_version": self.release.model_version,
            "model_digest": self.release.model_digest,
        }
        try:
            async with self.upstream.session.get("/release", timeout=_PROBE) as response:
                response.raise_for_status()
                told = await response.json()
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise DeliveryError(f"it does not say which release it is: {error}") from error
        for key, value in wanted.items():
            found = told.get(key) if isinstance(told, dict) else told
            if found != value:
                raise DeliveryError(f"it answers as another release: {key} is {found}, git pins {value}")


async def start(environment: str, pinned: Pinned, release: Release, command: Start) -> Backend:
    """Unpack the release's image if need be and start a process of it on a free private port.

    Raises `DataError` where the image is missing or was changed, `DeliveryError` where the command can't be run.
    """
    bento = await asyncio.to_thread(_unpacked, release)
    port = _free_port()
    home = _home(environment, release, port)
    log = workspace.state() / "logs" / environment / f"{release.model}-{release.model_version}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    arguments = leashed(command(bento, port))
    with log.open("ab") as output:
        process = await _spawn(arguments, home, _environment(environment, release, home), output)
    return Backend(
        environment=environment,
        release=release,
        pinned=pinned,
        process=process,
        upstream=Upstream(port),
        log=log,
        home=home,
        started=asyncio.get_running_loop().time(),
    )


def end_orphans() -> int:
    """End every process that a delivery on this state folder left behind, and return how many. What they ran goes too:
    the next one unpacks its images anew, each against its digest.

    Only for the one that holds the delivery lock.
    """
    ended = _end_all_from(_homes())
    shutil.rmtree(_homes(), ignore_errors=True)
    shutil.rmtree(workspace.state() / "run", ignore_errors=True)
    return ended


def _unpacked(release: Release) -> Path:
    digits = release.image.digest.removeprefix("sha256:")
    archive = workspace.images() / f"{digits}.bento"
    return archives.unpack(archive, release.image.digest, workspace.state() / "run" / digits)


async def _spawn(
    arguments: list[str], home: Path, variables: dict[str, str], output: BinaryIO
) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
            cwd=home,
            env=variables,
            start_new_session=True,  # Ctrl-C is for the delivery, which stops its processes in its own order
        )
    except OSError as error:
        raise DeliveryError(f"it can't be started: {error}") from error


def _environment(environment: str, release: Release, home: Path) -> dict[str, str]:
    return {
        **os.environ,
        _MARK: str(home),
        "BAKEHOUSE_STATE": str(workspace.state()),
        "BAKEHOUSE_RELEASE": str(home / RELEASE_FILE),
        "BAKEHOUSE_PREDICTION_LOG": str(workspace.state() / "predictions" / environment / release.model),
        # Each process has its own home: BentoML empties the metrics folder in it at every start.
        "BENTOML_HOME": str(home / "bentoml"),
        "BENTOML_DO_NOT_TRACK": "true",
        "TMPDIR": str(home),
        "PYTHONUNBUFFERED": "1",
    }


def _homes() -> Path:
    return workspace.state() / "delivery" / "processes"


def _home(environment: str, release: Release, port: int) -> Path:
    _homes().mkdir(parents=True, exist_ok=True)
    home = Path(tempfile.mkdtemp(dir=_homes(), prefix=f"{environment}-{release.model}-{port}-"))
    (home / RELEASE_FILE).write_text(release.to_json(), encoding="utf-8")
    return home


def _free_port() -> int:
    for port in random.sample(_PRIVATE_PORTS, len(_PRIVATE_PORTS)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise DeliveryError(f"no port between {_PRIVATE_PORTS[0]} and {_PRIVATE_PORTS[-1]} is free")


def _end_all_from(folder: Path) -> int:
    """Kill every process whose home is at or under `folder`, known by the mark in its environment, which its children
    inherit: BentoML's workers leave their parent's process group, and a pid may be another's by now."""
    found = [process for process in psutil.process_iter() if _is_from(folder, process)]
    for process in found:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(found, timeout=5)
    return len(found)


def _is_from(folder: Path, process: psutil.Process) -> bool:
    try:
        home = process.environ().get(_MARK)
    except (psutil.Error, OSError):
        return False
    return home is not None and Path(home).is_relative_to(folder)
