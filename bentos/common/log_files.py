"""The files of a service's logs: how they are named, who has one at a time, and how lines are appended.

Whoever has a file's lock has it whole, and whoever died has it no more: so a service and what ships its files, from
another container, need no other word. Stands on the standard library alone.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import re
import time
from collections.abc import Callable
from pathlib import Path

FOLDER_VARIABLE = "BAKEHOUSE_PREDICTION_LOG"
SHIPPED_VARIABLE = "BAKEHOUSE_PREDICTION_LOG_SHIPPED"
"""`true` where something ships the files of the folder and deletes what it has shipped."""
FEEDBACK_FOLDER = "feedback"
"""Under the folder of the prediction log."""
FILE_BYTES = 64 * 1024 * 1024
FILE_NAME = re.compile(r"(?P<model>[a-z][a-z0-9-]*)-(?P<version>\d+)-(?P<start>\d+)-(?P<process>\d+)\.ndjson")

_logger = logging.getLogger("bentoml.bakehouse")


class LogFiles:
    """Appends to `<model>-<model version>-<start>-<process>.ndjson` in `folder`, and to a new file once one has
    `file_bytes` or was taken by what ships it. Of this model's files the newest `keep_bytes` stay; `deleted` is called
    with how many lines went otherwise. Not thread-safe."""

    def __init__(
        self,
        folder: Path,
        model: str,
        model_version: int,
        *,
        file_bytes: int = FILE_BYTES,
        keep_bytes: int | None = None,
        deleted: Callable[[int], None] | None = None,
    ) -> None:
        self._folder = folder
        self._model = model
        self._model_version = model_version
        self._file_bytes = file_bytes
        self._keep_bytes = keep_bytes
        self._deleted = deleted
        self._file: int | None = None
        self._written = 0

    def append(self, lines: bytes, *, synced: bool = False) -> None:
        """Append them, all or none; `synced` returns once they are on the disk. Raises `OSError`."""
        if self._written + len(lines) > self._file_bytes:
            self.close()
        file = self._locked()
        try:
            if os.write(file, lines) < len(lines):
                raise OSError(errno.ENOSPC, "the disk is full")
            if synced:
                os.fsync(file)
            self._written += len(lines)
        except OSError:
            os.ftruncate(file, self._written)
            raise
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Begin a new file with the next line."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
            self._written = 0

    def _locked(self) -> int:
        """The file to append to, with its lock."""
        if self._file is not None and lock(self._file):
            return self._file
        self.close()
        if self._keep_bytes is not None:
            self._make_room(self._keep_bytes - self._file_bytes)
        while self._file is None:
            name = f"{self._model}-{self._model_version}-{time.time_ns()}-{os.getpid()}.ndjson"
            file = os.open(self._folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
            if lock(file):
                self._file = file
            else:  # what ships files was here between the two lines
                os.close(file)
        return self._file

    def _make_room(self, left: int) -> None:
        """Delete the oldest until at most `left` bytes are left."""
        found = sizes(self._folder, self._model)
        total = sum(found.values())
        for path, size in found.items():
            if total <= left:
                return
            total -= size
            try:
                file = os.open(path, os.O_RDONLY)
            except FileNotFoundError:  # shipped meanwhile
                continue
            try:
                if lock(file):  # else it is being shipped, or written
                    self._delete(path, file)
            finally:
                os.close(file)

    def _delete(self, path: Path, file: int) -> None:
        if self._deleted is not None:
            lines = sum(part.count(b"\n") for part in iter(lambda: os.read(file, 1 << 20), b""))
            _logger.warning("%s goes with %d lines that were not shipped: the log is full.", path.name, lines)
            self._deleted(lines)
        path.unlink()


def log_files(folder: Path, model: str | None = None) -> list[Path]:
    """The logs in a folder, of one model or of whatever model, the one that was begun first in front. None where the
    folder isn't there."""
    try:
        found = [(match, path) for path in folder.iterdir() if (match := FILE_NAME.fullmatch(path.name))]
    except FileNotFoundError:
        return []
    found = [it for it in found if model in (None, it[0]["model"])]
    return [path for _, path in sorted(found, key=lambda it: int(it[0]["start"]))]


def sizes(folder: Path, model: str) -> dict[Path, int]:
    """The bytes of each of a model's logs in a folder, in the order of `log_files`."""
    return {path: _size(path) for path in log_files(folder, model)}


def lock(file: int) -> bool:
    """Take the lock of an open file, without waiting. False where another has it, or the file is deleted."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return os.fstat(file).st_nlink > 0


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
