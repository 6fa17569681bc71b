"""Reading features for one answer from the online store that Feast writes: SQLite or Redis, without Feast.

Feast's import takes seconds and a hundred megabytes, and one lookup is two reads by key. So this speaks Feast's own
layout: entity keys in serialization version 3, values as the protobuf message `feast.types.Value` (scalars only). A
test holds every value that it reads against Feast's own answer.
"""

from __future__ import annotations

import os
import sqlite3
import struct
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from bakehouse.errors import ConfigurationError, DataError
from bentos.common.redis_client import RedisClient, murmur3

ADDRESS_VARIABLE = "BAKEHOUSE_ONLINE_STORE"
STATE_VARIABLE = "BAKEHOUSE_STATE"

Features = dict[str, Any]
Entity = Mapping[str, str]

_STRING = 2
_BUSY_SECONDS = 0.5


class OnlineStore(Protocol):
    """Where the latest facts of an entity are read. Thread-safe."""

    def read(self, views: Mapping[str, Sequence[str]], entities: Sequence[Entity]) -> list[dict[str, Features | None]]:
        """For each entity the features of each view by name, or None where the view knows nothing of the entity.

        Raises `DataError` where the store can't be reached or read.
        """


def named_address() -> str | None:
    """`BAKEHOUSE_ONLINE_STORE`."""
    return os.environ.get(ADDRESS_VARIABLE) or None


def online_address(model: str) -> str | None:
    """`BAKEHOUSE_ONLINE_STORE`, else the SQLite file that stands for `model` in the state folder, where one is named;
    without either, None."""
    state = os.environ.get(STATE_VARIABLE)
    return named_address() or (local_address(Path(state), model) if state else None)


def local_address(state: Path, model: str) -> str:
    """The online store of a laptop: one SQLite file a model."""
    return f"sqlite://{state.resolve() / 'feature_store' / model / 'online.db'}"


def open_online_store(address: str, project: str) -> OnlineStore:
    """The store of Feast's `project` at the address; nothing is opened before the first read.

    Raises `ConfigurationError` where the address names no store that this can read.
    """
    parts = urlsplit(address)
    if parts.scheme == "sqlite" and parts.path:
        return SqliteStore(Path(parts.path), project)
    if parts.scheme in {"redis", "rediss"} and parts.hostname:
        return RedisStore(RedisClient(address), project)
    raise ConfigurationError(
        f"{ADDRESS_VARIABLE} is neither sqlite:///FILE nor redis://HOST:PORT/NUMBER.",
        "Correct it, or unset it for the store in the state folder.",
    )


class SqliteStore:
    """A file that Feast's SQLite online store wrote: one table a view, one row a feature."""

    def __init__(self, path: Path, project: str) -> None:
        self._path = path
        self._project = project
        self._local = threading.local()

    def read(self, views: Mapping[str, Sequence[str]], entities: Sequence[Entity]) -> list[dict[str, Features | None]]:
        """As `OnlineStore.read`."""
        try:
            connection = self._connection()
            return [{view: self._view(connection, view, views[view], entity) for view in views} for entity in entities]
        except sqlite3.Error as error:
            # Another file may stand at the path by the next time.
            self._local.connection = None
            raise DataError(f"The online store can't be read: {error}.", "Publish the features first.") from error

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(f"{self._path.as_uri()}?mode=ro", uri=True, timeout=_BUSY_SECONDS)
            self._local.connection = connection
        return connection

    def _view(self, connection: sqlite3.Connection, view: str, names: Sequence[str], entity: Entity) -> Features | None:
        table = f"{self._project}_{view}".replace('"', '""')
        rows = connection.execute(
            f'SELECT feature_name, value FROM "{table}" WHERE entity_key = ?',  # noqa: S608  the room names the view
            (entity_key(entity),),
        ).fetchall()
        found = {name: value(content) for name, content in rows}
        return {name: found.get(name) for name in names} if found else None


class RedisStore:
    """A Redis that Feast's Redis online store wrote: one hash an entity, one field a feature."""

    def __init__(self, client: RedisClient, project: str) -> None:
        self._client = client
        self._project = project

    def read(self, views: Mapping[str, Sequence[str]], entities: Sequence[Entity]) -> list[dict[str, Features | None]]:
        """As `OnlineStore.read`; one round trip for all entities and views."""
        fields: list[bytes] = []
        for view, names in views.items():
            fields += [f"_ts:{view}".encode(), *(_field(view, name) for name in names)]
        replies = self._client.pipeline(
            [(b"HMGET", entity_key(entity) + self._project.encode(), *fields) for entity in entities]
        )
        return [self._views(views, reply) for reply in replies]

    @staticmethod
    def _views(views: Mapping[str, Sequence[str]], reply: Any) -> dict[str, Features | None]:
        found: dict[str, Features | None] = {}
        rest = iter(reply)
        for view, names in views.items():
            known = next(rest) is not None
            features = {name: value(content) if (content := next(rest)) is not None else None for name in names}
            found[view] = features if known else None
        return found


def _field(view: str, feature: str) -> bytes:
    return struct.pack("<I", murmur3(f"{view}:{feature}".encode()))


def entity_key(entity: Entity) -> bytes:
    """Feast's bytes for an entity whose join keys are all texts: how many there are, their names in order, and their
    values, each with its type and its length (`feast.infra.key_encoding_utils`, version 3)."""
    names = sorted(entity)
    parts = [struct.pack("<I", len(names))]
    for text in (*names, *(entity[name] for name in names)):
        encoded = text.encode()
        parts.append(struct.pack("<II", _STRING, len(encoded)) + encoded)
    return b"".join(parts)


def value(message: bytes) -> Any:
    """The scalar in the protobuf message `feast.types.Value`, or None where it holds nothing (null).

    Raises `DataError` where it holds anything else, or is no such message.
    """
    if not message:
        return None
    try:
        return _scalar(message)
    except (IndexError, struct.error, UnicodeDecodeError) as error:
        raise DataError(
            "The online store holds a value that is none of Feast's.", "Publish the features anew."
        ) from error


def _scalar(message: bytes) -> Any:
    tag, at = _varint(message, 0)
    # The numbers of the fields in feast/types/Value.proto: text, 32 and 64 bit integers, double, float, truth.
    match tag >> 3, tag & 7:
        case 2, 2:
            length, start = _varint(message, at)
            return message[start : start + length].decode()
        case 3 | 4, 0:
            number, _ = _varint(message, at)
            return number - (1 << 64) if number >= 1 << 63 else number
        case 5, 1:
            return struct.unpack_from("<d", message, at)[0]
        case 6, 5:
            return struct.unpack_from("<f", message, at)[0]
        case 7, 0:
            return bool(_varint(message, at)[0])
    raise DataError("The online store holds a value that is no text, number or truth.", "Publish scalar features only.")


def _varint(message: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = message[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7
