"""What local delivery saw last: the document that `bakehouse deliver` writes and everybody else reads.

Holds the document and how it is written and read, not what makes it so (`gitops/delivery.py`).
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import psutil
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from bakehouse import workspace

Status = Literal["starting", "running", "failed", "stopped"]
NOT_DELIVERING = "bakehouse deliver is not running"


class Pinned(BaseModel):
    """A release as git pins it: the commit that put it there, and what it names."""

    model_config = ConfigDict(frozen=True)

    commit: str
    model_version: int
    image_digest: str
    release_digest: str


class Observation(BaseModel):
    """One model in one environment.

    `wanted` is what git says, `running` what answers (the older release while a new one starts or after it failed).
    `healthy` speaks of what runs, `since` says from when on it has answered without a break, `status` speaks of what
    is wanted, and `message` says why it is not there.
    """

    model_config = ConfigDict(frozen=True)

    environment: str
    model: str
    status: Status
    wanted: Pinned | None = None
    running: Pinned | None = None
    healthy: bool = False
    since: AwareDatetime | None = None
    message: str = ""
    url: str = ""

    @property
    def in_sync(self) -> bool:
        """Whether what git wants is what answers, and well."""
        return self.healthy and self.wanted is not None and self.wanted == self.running


class Observations(BaseModel):
    """Everything that one `bakehouse deliver` looks after. `delivering` says whether it is alive."""

    model_config = ConfigDict(frozen=True)

    delivering: bool = False
    pid: int = 0
    pid_started: float = 0.0
    head: str | None = None
    message: str = ""
    updated_at: AwareDatetime | None = None
    deployments: tuple[Observation, ...] = ()

    def of(self, environment: str, model: str) -> Observation | None:
        """What was seen of one model in one environment, if anything."""
        for seen in self.deployments:
            if (seen.environment, seen.model) == (environment, model):
                return seen
        return None


def observations() -> Observations:
    """What local delivery saw last. Without a delivery that is alive, nothing counts as running."""
    seen = recorded()
    if _alive(seen.pid, seen.pid_started):
        return seen
    stopped = tuple(
        deployment.model_copy(
            update={"status": "stopped", "running": None, "healthy": False, "since": None, "message": NOT_DELIVERING}
        )
        for deployment in seen.deployments
    )
    return seen.model_copy(update={"delivering": False, "deployments": stopped})


def recorded() -> Observations:
    """The document as it stands, whoever wrote it; an empty one where there is none or none that can be read."""
    try:
        return Observations.model_validate_json(_path().read_bytes())
    except (OSError, ValidationError):
        return Observations()


def record(head: str | None, deployments: tuple[Observation, ...], message: str = "") -> None:
    """Replace the document in one step, in the name of this process."""
    document = Observations(
        delivering=True,
        pid=os.getpid(),
        pid_started=psutil.Process().create_time(),
        head=head,
        message=message,
        updated_at=datetime.now(UTC),
        deployments=deployments,
    )
    path = _path()
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(".state.json")  # one name: where the disk is full, no more than one is left behind
    draft.write_text(document.model_dump_json(indent=2) + "\n", encoding="utf-8")
    draft.replace(path)


def _path() -> Path:
    return workspace.state() / "delivery" / "state.json"


def _alive(pid: int, started: float) -> bool:
    # A pid alone may belong to another process by now.
    if not pid:
        return False
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and abs(process.create_time() - started) < 1
    except psutil.Error:
        return False
