"""Lines of raw files: never more than a limit of each in memory, and ranges of a file that end where lines do."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

LONGEST = 1 << 20
"""Bytes of a line, its end included. Of a longer one only the length and a digest are kept."""


@dataclass(frozen=True, slots=True)
class Overlong:
    """A line that was too long to keep."""

    length: int
    digest: str


Line = bytes | Overlong


def read(source: BinaryIO, key: bytes) -> Iterator[Line]:
    """The lines of `source`, those that are too long as their length and digest, with never more than two read parts
    in memory."""
    while line := source.readline(LONGEST):
        if line.endswith(b"\n") or len(line) < LONGEST or not (more := source.readline(LONGEST)):
            yield line
            continue
        length, digest = len(line), hmac.new(key, line, hashlib.sha256)
        while more:
            length += len(more)
            digest.update(more)
            more = b"" if more.endswith(b"\n") else source.readline(LONGEST)
        yield Overlong(length, digest.hexdigest())


def overlong(line: bytes, key: bytes) -> Overlong:
    """What is kept of a line that is too long, where it is at hand whole."""
    return Overlong(len(line), hmac.digest(key, line, "sha256").hex())


def up_to(size: int, lines: Iterator[Line]) -> Iterator[Line]:
    """The next of `lines`, up to the one with which they reach `size` bytes."""
    for line in lines:
        yield line
        size -= line.length if isinstance(line, Overlong) else len(line)
        if size <= 0:
            return


def pieces(source: BinaryIO, size: int) -> Iterator[tuple[int, int]]:
    """Successive ranges of the file, each of whole lines and of about `size` bytes."""
    length = source.seek(0, 2)
    start = 0
    while start < length:
        source.seek(min(start + size, length) - 1)
        while (part := source.readline(LONGEST)) and not part.endswith(b"\n"):
            pass
        end = source.tell()
        yield start, end
        start = end
