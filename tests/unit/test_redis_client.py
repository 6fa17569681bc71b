"""The little client of Redis, against a server that answers as it is told, byte by byte."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator, Sequence

import pytest

from bakehouse.errors import DataError
from bentos.common.redis_client import RedisClient

Script = Sequence[Sequence[bytes]]


class Server:
    """Answers each connection with its own list of replies, one for each command that arrives whole; then closes it."""

    def __init__(self, script: Script) -> None:
        self.seen: list[bytes] = []
        self._script = script
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        for replies in self._script:
            with contextlib.suppress(OSError):
                connection, _ = self._listener.accept()
                connection.settimeout(10)
                with connection:
                    for reply in replies:
                        self.seen.append(connection.recv(65_536))
                        for byte in range(len(reply)):
                            connection.sendall(reply[byte : byte + 1])

    def close(self) -> None:
        self._listener.close()
        self._thread.join(10)


@contextlib.contextmanager
def answering(*script: Sequence[bytes]) -> Iterator[Server]:
    server = Server(script)
    try:
        yield server
    finally:
        server.close()


def client(server: Server, path: str = "", who: str = "") -> RedisClient:
    return RedisClient(f"redis://{who}127.0.0.1:{server.port}{path}", seconds=5)


def test_replies_are_read_whole_however_they_are_cut() -> None:
    reply = b"*3\r\n$3\r\na\r\n\r\n$-1\r\n$0\r\n\r\n+OK\r\n:-7\r\n"
    with answering([reply]) as server:
        found = client(server).pipeline([(b"HMGET", b"key", b"a", b"b", b"c"), (b"PING",), (b"DECR", b"x")])
    assert found == [[b"a\r\n", None, b""], b"OK", -7]
    assert server.seen[0].startswith(b"*5\r\n$5\r\nHMGET\r\n$3\r\nkey\r\n")


def test_it_says_who_it_is_and_chooses_the_database_before_anything_else() -> None:
    with answering([b"+OK\r\n+OK\r\n", b"+PONG\r\n"]) as server:
        assert client(server, "/3", "reader:p%40ss@").pipeline([(b"PING",)]) == [b"PONG"]
    assert server.seen[0] == b"*3\r\n$4\r\nAUTH\r\n$6\r\nreader\r\n$4\r\np@ss\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n"


def test_a_refusal_is_said_and_leaves_nothing_behind_for_the_next_question() -> None:
    with answering([b"-NOPERM this user may not\r\n+OK\r\n", b"+PONG\r\n"]) as server:
        asking = client(server)
        with pytest.raises(DataError, match="NOPERM this user may not"):
            asking.pipeline([(b"HMGET", b"key", b"a"), (b"PING",)])
        assert asking.pipeline([(b"PING",)]) == [b"PONG"]


def test_a_wrong_password_is_said_each_time() -> None:
    with answering([b"-WRONGPASS invalid\r\n"], [b"-WRONGPASS invalid\r\n"]) as server:
        asking = client(server, who=":wrong@")
        for _ in range(2):
            with pytest.raises(DataError, match="WRONGPASS"):
                asking.pipeline([(b"PING",)])


def test_a_connection_that_was_closed_while_idle_is_made_anew() -> None:
    with answering([b"+ONE\r\n"], [b"+TWO\r\n"]) as server:
        asking = client(server)
        assert asking.pipeline([(b"PING",)]) == [b"ONE"]
        assert asking.pipeline([(b"PING",)]) == [b"TWO"]


@pytest.mark.parametrize("reply", [b"", b"$10\r\nhalf", b"*2\r\n+one\r\n", b"HTTP/1.1 400 Bad Request\r\n"])
def test_half_an_answer_or_another_protocol_is_no_answer(reply: bytes) -> None:
    with answering([reply]) as server, pytest.raises(DataError, match="Redis can't be reached"):
        client(server).pipeline([(b"PING",)])


def test_a_redis_that_is_not_there_or_says_nothing_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(DataError, match="timed out"):
            RedisClient(f"redis://127.0.0.1:{port}", seconds=0.2).pipeline([(b"PING",)])
    with pytest.raises(DataError, match="Redis can't be reached"):
        RedisClient(f"redis://127.0.0.1:{port}", seconds=0.2).pipeline([(b"PING",)])
