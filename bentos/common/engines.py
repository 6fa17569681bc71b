"""The programs that build and push images: buildah, podman, docker. Knows nothing of bentos."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bakehouse.errors import ConfigurationError, DeliveryError


@dataclass(frozen=True)
class Engine:
    """One of them. `probe` succeeds where it can work; `timeless` are the options that set every time to the epoch."""

    name: str
    probe: tuple[str, ...]
    timeless: tuple[str, ...]

    @property
    def works(self) -> bool:
        """Whether it is installed and has what it needs: docker's client alone, for one, can do nothing."""
        if shutil.which(self.name) is None:
            return False
        return subprocess.run([self.name, *self.probe], check=False, capture_output=True).returncode == 0

    def build(self, context: Path, reference: str, labels: Mapping[str, str]) -> None:
        """Build the Dockerfile in `context` as `reference`.

        Raises `DeliveryError` with the engine's last line.
        """
        command = ["build", "--file", str(context / "Dockerfile"), "--tag", reference]
        command += [f"--label={key}={value}" for key, value in sorted(labels.items())]
        self._run([*command, *self.timeless, str(context)], {"SOURCE_DATE_EPOCH": "0"})

    def push(self, reference: str) -> str:
        """Push `reference` and return the digest under which the registry has it. Raises `DeliveryError`."""
        if self.name == "docker":
            self._run(["push", "--quiet", reference])
            digests = json.loads(self._run(["image", "inspect", "--format", "{{json .RepoDigests}}", reference]))
            repository = reference.rpartition(":")[0]
            return str(next(it for it in digests if it.startswith(f"{repository}@")).partition("@")[2])
        with tempfile.TemporaryDirectory(prefix="bakehouse-") as folder:
            file = Path(folder) / "digest"
            self._run(["push", "--quiet", "--digestfile", str(file), reference])
            return file.read_text().strip()

    def digest(self, reference: str) -> str | None:
        """The digest that a registry would give it, None where only a push can tell. Raises `DeliveryError`."""
        if self.name == "docker":
            return None
        with tempfile.TemporaryDirectory(prefix="bakehouse-") as folder:
            file = Path(folder) / "digest"
            self._run(["push", "--quiet", "--digestfile", str(file), reference, f"oci:{folder}/layout:1"])
            return file.read_text().strip()

    def _run(self, arguments: Sequence[str], variables: Mapping[str, str] | None = None) -> str:
        done = subprocess.run(
            [self.name, *arguments],
            env={**os.environ, **(variables or {})},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            reason = (done.stderr.strip() or done.stdout.strip() or "no reason given").splitlines()[-1]
            raise DeliveryError(f"`{self.name} {arguments[0]}` failed: {reason}")
        return done.stdout


# The first two need no daemon, and give the same files the same digest. Times are all one, so that a layer that two
# model versions share is one layer.
ENGINES = (
    Engine("buildah", ("version",), ("--layers", "--timestamp=0")),
    Engine("podman", ("info",), ("--layers", "--timestamp=0")),
    Engine("docker", ("version",), ()),
)


def engine(name: str | None = None) -> Engine:
    """The engine of that name, else the first that works here. Raises `ConfigurationError` where there is none."""
    known = {found.name: found for found in ENGINES}
    if name is not None and name not in known:
        raise ConfigurationError(f"There is no engine {name}.", f"There are: {', '.join(known)}.")
    chosen = ENGINES if name is None else (known[name],)
    for candidate in chosen:
        if candidate.works:
            return candidate
    raise ConfigurationError(
        f"No image can be built here: {' and '.join(it.name for it in chosen)} can't be run.",
        "Install buildah, podman or docker.",
    )
