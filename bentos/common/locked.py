"""The part of requirements.lock that a bento runs on: its libraries pinned by version and by hash, and no others."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.metadata import Distribution
from pathlib import Path

from packaging.utils import canonicalize_name

from bakehouse.errors import ConfigurationError

LOCK_FILE = "requirements.lock"
LOCK = Path(__file__).resolve().parents[2] / LOCK_FILE


def locked(distributions: Sequence[Distribution], lock: Path = LOCK) -> str:
    """The lines of `lock` that pin these distributions, hashes included.

    Raises `ConfigurationError` where the lock can't be read, or pins one of them to another version than is installed.
    """
    try:
        text = lock.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{lock} can't be read: {error.strerror}.", "Restore it from git.") from error
    # Comments say who asked for a library, training libraries among them: nothing that a bento depends on.
    pins = [
        "\n".join(line for line in pin.splitlines() if line and not line.lstrip().startswith("#"))
        for pin in re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)
    ]
    by_name = {canonicalize_name(pin.partition("==")[0]): pin for pin in pins if "==" in pin}
    found = []
    for distribution in sorted(distributions, key=lambda it: canonicalize_name(it.name)):
        pin = by_name.get(canonicalize_name(distribution.name), "")
        if not re.search(rf"=={re.escape(distribution.version)}(?=[\s;\\])", pin) or "--hash=sha256:" not in pin:
            raise ConfigurationError(
                f"{distribution.name} {distribution.version} is installed, but {LOCK_FILE} does not pin that version.",
                "Run `make setup`.",
            )
        found.append(pin)
    return "\n".join(found) + "\n"
