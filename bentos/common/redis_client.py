"""The little of Redis that reading features needs: commands in a pipeline over one connection (RESP2), standard library
only, so that no model's image grows by a client that one model uses.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Sequence
from typing import Any, BinaryIO, cast
from urllib.parse import unquote, urlsplit

from bakehouse.errors import DataError

SECONDS = 1.0
"""How long a service waits for Redis before it says that it can't be reached."""

Command = Sequence[bytes]


class RedisClient:
    """A connection to `redis://HOST[:PORT][/NUMBER]`, or `rediss://` with TLS; a user and a password stand before the
    host where Redis wants them. Made on first use, and anew after it broke. Thread-safe: one pipeline at a time."""

    def __init__(self, address: str, seconds: float = SECONDS) -> None:
        self._parts = urlsplit(address)
        self._seconds = seconds
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._replies: BinaryIO | None = None

    def pipeline(self, commands: Sequence[Command]) -> list[Any]:
        """The reply to each command. Raises `DataError` where Redis can't be reached or refuses one of them."""
        with self._lock:
            fresh = self._socket is None
            try:
                return self._ask(commands)
            except (OSError, EOFError, ValueError) as error:
                self._close()
                if fresh:
                    raise _unreachable(error) from error
            # A connection that was idle may have been closed at the other end: once more on a new one.
            try:
                return self._ask(commands)
            except (OSError, EOFError, ValueError) as error:
                self._close()
                raise _unreachable(error) from error

    def _ask(self, commands: Sequence[Command]) -> list[Any]:
        if self._socket is None:
            self._connect()
        sender = cast(socket.socket, self._socket)
        sender.sendall(b"".join(map(_encoded, commands)))
        # Every reply is read before one is judged: what is left unread would answer the next question.
        replies = [_reply(cast(BinaryIO, self._replies)) for _ in commands]
        for reply in replies:
            if isinstance(reply, _RefusalReply):
                raise DataError(f"Redis refuses: {reply.reason}.", "Look at the address, the user and the password.")
        return replies

    def _connect(self) -> None:
        host, port = self._parts.hostname or "localhost", self._parts.port or 6379
        connection = socket.create_connection((host, port), timeout=self._seconds)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._parts.scheme == "rediss":
            connection = ssl.create_default_context().wrap_socket(connection, server_hostname=host)
        self._socket, self._replies = connection, connection.makefile("rb")
        greetings: list[Command] = []
        if self._parts.password:
            user = [unquote(self._parts.username).encode()] if self._parts.username else []
            greetings.append((b"AUTH", *user, unquote(self._parts.password).encode()))
        if number := self._parts.path.strip("/"):
            greetings.append((b"SELECT", number.encode()))
        if greetings:
            try:
                self._ask(greetings)
            except DataError:
                self._close()
                raise

    def _close(self) -> None:
        for opened in (self._replies, self._socket):
            if opened is not None:
                with contextlib.suppress(OSError):
                    opened.close()
        self._socket = self._replies = None


class _RefusalReply:
    def __init__(self, reason: str) -> None:
        self.reason = reason


def _unreachable(error: Exception) -> DataError:
    return DataError(
        f"Redis can't be reached: {str(error) or type(error).__name__}.", "Look at its address and its log."
    )


def _encoded(command: Command) -> bytes:
    parts = [b"*%d\r\n" % len(command)]
    parts += [b"$%d\r\n%s\r\n" % (len(part), part) for part in command]
    return b"".join(parts)


def _reply(replies: BinaryIO) -> Any:
    line = replies.readline()
    if not line.endswith(b"\r\n"):
        raise EOFError("it closed the connection")
    kind, rest = line[:1], line[1:-2]
    match kind:
        case b"+":
            return rest
        case b"-":
            return _RefusalReply(rest.decode(errors="replace"))
        case b":":
            return int(rest)
        case b"$" if rest == b"-1":
            return None
        case b"$":
            content = replies.read(int(rest) + 2)
            if len(content) < int(rest) + 2:
                raise EOFError("it closed the connection")
            return content[:-2]
        case b"*":
            return [_reply(replies) for _ in range(int(rest))]
    raise ValueError("it speaks no RESP2")


def murmur3(content: bytes) -> int:
    """MurmurHash3, 32 bits for x86, seed 0 (Appleby 2011): by which Feast names the fields of a hash."""
    mixed, whole = 0, len(content) & ~3
    for at in range(0, whole, 4):
        mixed ^= _scrambled(int.from_bytes(content[at : at + 4], "little"))
        mixed = (_rotated(mixed, 13) * 5 + 0xE6546B64) & 0xFFFFFFFF
    mixed ^= _scrambled(int.from_bytes(content[whole:], "little"))
    mixed ^= len(content)
    mixed = ((mixed ^ mixed >> 16) * 0x85EBCA6B) & 0xFFFFFFFF
    mixed = ((mixed ^ mixed >> 13) * 0xC2B2AE35) & 0xFFFFFFFF
    return mixed ^ mixed >> 16


def _scrambled(block: int) -> int:
    return _rotated(block * 0xCC9E2D51 & 0xFFFFFFFF, 15) * 0x1B873593 & 0xFFFFFFFF


def _rotated(number: int, bits: int) -> int:
    return (number << bits | number >> 32 - bits) & 0xFFFFFFFF
