"""A room's feature store, kept by Feast: facts go in with the time they became known, and come out as of a moment.

Knows no model: what the facts are, the room's `feature_store/definitions.py` says. Imports Feast on first use only, so
that a room without a store never waits for it. Reading for one answer is `bentos.common.online_store`'s.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote, urlsplit

from bakehouse.errors import ConfigurationError, DataError

if TYPE_CHECKING:
    from feast import FeatureStore
    from feast import FeatureView as View

TIME = "event_timestamp"
PLACE = "place"
REGISTRY = "registry.db"
Facts = Mapping[str, Any]


class Definitions(Protocol):
    """What `bentos/<model>/feature_store/definitions.py` fulfils, as a module. A view named `grades` reads the file
    `grades.parquet`, whose column `event_timestamp` says when a fact became known."""

    PROJECT: str
    """The name under which Feast keeps this store apart from others."""

    OBJECTS: Sequence[Any]
    """Feast's entities, feature views and feature services."""

    FEATURES: Any
    """The feature service that training reads."""

    def entity(self, record: Any, /) -> Mapping[str, str]:
        """Whom a masked record is about: the join keys."""

    def facts(self, record: Any, /) -> Iterator[tuple[str, datetime, Facts]]:
        """All that a masked record says: the view, when it became known, and every feature of the view."""

    def moments(self, record: Any, /) -> Sequence[datetime]:
        """When a prediction is asked for."""

    def as_of(self, record: Any, moment: datetime, known: Mapping[str, Facts | None], /) -> Any:
        """The masked record at `moment`: its labels, and else only what each view knew then (None: nothing)."""


@dataclass(frozen=True)
class Published:
    """Records as facts, in a Feast repository of their own in `folder`; its `store` knows no online store."""

    definitions: Definitions
    store: FeatureStore
    online: Mapping[str, Any]
    folder: Path

    @classmethod
    def of(cls, definitions: Definitions, records: Sequence[Any], folder: Path, online: str) -> Published:
        """Write the facts of masked `records` as Parquet to `folder`, and register the definitions there. `online` is
        the address of the online store, which is not touched before `materialize`.

        Raises `ConfigurationError` where the address is none that Feast can write to.
        """
        import yaml

        # It speaks of each look at its registry.
        logging.getLogger("feast").setLevel(logging.WARNING)
        settings = _online(online)
        folder.mkdir(parents=True, exist_ok=True)
        _write(definitions, records, folder)
        # For Feast's own commands in this folder (`feast --chdir FOLDER feature-views list`). No password is written.
        written = _settings(definitions, REGISTRY, _online(online, secrets=False))
        (folder / "feature_store.yaml").write_text(yaml.safe_dump(written, sort_keys=False))
        return cls(definitions, _applied(definitions, folder, None), settings, folder)

    def situations(self, records: Sequence[Any]) -> list[Any]:
        """Every record at every moment that a prediction is asked for, with the features known by then (the latest of
        each view, none of later). In the order of the records, and of their moments."""
        import pandas as pd

        asked = [(record, moment) for record in records for moment in self.definitions.moments(record)]
        entities = pd.DataFrame(
            [
                {**self.definitions.entity(record), TIME: moment, PLACE: place}
                for place, (record, moment) in enumerate(asked)
            ]
        )
        frame = self.store.get_historical_features(
            entity_df=entities, features=self.definitions.FEATURES, full_feature_names=True
        ).to_df()
        found = frame.sort_values(PLACE).astype(object).where(frame.sort_values(PLACE).notna(), None)
        if len(found) != len(asked):
            # Feast's file store joins, and then drops every match that is later than what was asked.
            raise DataError(
                f"The feature store answers {len(found)} of {len(asked)} questions.",
                "Give every view a fact of each entity from its first moment on, nulls where nothing is known yet.",
            )
        return [
            self.definitions.as_of(record, moment, dict(self._by_view(row)))
            for (record, moment), row in zip(asked, found.to_dict("records"), strict=True)
        ]

    def materialize(self) -> None:
        """Write the latest facts of each entity to the online store."""
        if "path" in self.online:
            Path(self.online["path"]).parent.mkdir(parents=True, exist_ok=True)
        store = _applied(self.definitions, self.folder, self.online)
        store.materialize(start_date=datetime(1970, 1, 2, tzinfo=UTC), end_date=datetime.now(UTC))

    def keep(self, folder: Path) -> None:
        """Leave the repository at `folder`, in the place of an earlier one, for Feast's own commands."""
        folder.mkdir(parents=True, exist_ok=True)
        for file in self.folder.iterdir():
            partial = folder / f".{file.name}.{os.getpid()}"
            shutil.copyfile(file, partial)
            partial.replace(folder / file.name)

    def _by_view(self, row: Mapping[str, Any]) -> Iterator[tuple[str, Facts | None]]:
        for view in _views(self.definitions):
            facts = {field.name: _plain(row[f"{view.name}__{field.name}"], field) for field in view.features}
            yield view.name, facts if any(value is not None for value in facts.values()) else None


def _applied(definitions: Definitions, folder: Path, online: Mapping[str, Any] | None) -> FeatureStore:
    """Feast on the repository in `folder`, the definitions registered there and made known to the online store."""
    from feast import FeatureStore, RepoConfig

    config = RepoConfig(**_settings(definitions, str(folder.resolve() / REGISTRY), online))
    config.repo_path = folder
    store = FeatureStore(config=config)
    store.apply(list(definitions.OBJECTS))
    return store


def _settings(definitions: Definitions, registry: str, online: Mapping[str, Any] | None) -> dict[str, Any]:
    return {
        "project": definitions.PROJECT,
        "provider": "local",
        "registry": registry,
        "offline_store": {"type": "file"},
        "online_store": online,
        "entity_key_serialization_version": 3,
    }


def _write(definitions: Definitions, records: Sequence[Any], folder: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for record in records:
        entity = definitions.entity(record)
        for view, moment, facts in definitions.facts(record):
            rows[view].append({**entity, TIME: moment, **facts})
    for view in _views(definitions):
        columns = [(name, pyarrow.string()) for name in definitions.entity(records[0])]
        columns += [(TIME, pyarrow.timestamp("us", tz="UTC"))]
        columns += [(field.name, _arrow(field)) for field in view.features]
        table = pyarrow.Table.from_pylist(rows[view.name], schema=pyarrow.schema(columns))
        parquet.write_table(table, folder / f"{view.name}.parquet")


def _arrow(field: Any) -> Any:
    from feast.types import from_feast_to_pyarrow_type

    return from_feast_to_pyarrow_type(field.dtype)


def _plain(value: Any, field: Any) -> Any:
    """A value of pandas as one of Python: whole numbers beside a null come as floats."""
    from feast.types import Int32, Int64

    if value is None:
        return None
    found = value.item() if hasattr(value, "item") else value
    return int(found) if field.dtype in (Int32, Int64) else found


def _views(definitions: Definitions) -> list[View]:
    from feast import FeatureView

    return [found for found in definitions.OBJECTS if isinstance(found, FeatureView)]


def _online(address: str, *, secrets: bool = True) -> dict[str, str]:
    """The address as Feast's configuration wants it, with or without the user and the password."""
    parts = urlsplit(address)
    if parts.scheme == "sqlite" and parts.path:
        return {"type": "sqlite", "path": parts.path}
    if parts.scheme in {"redis", "rediss"} and parts.hostname:
        options = [f"{parts.hostname}:{parts.port or 6379}", f"db={parts.path.strip('/') or 0}"]
        who = {"username": parts.username, "password": parts.password} if secrets else {}
        options += [f"{name}={unquote(said)}" for name, said in who.items() if said]
        options += ["ssl=true"] if parts.scheme == "rediss" else []
        return {"type": "redis", "connection_string": ",".join(options)}
    raise ConfigurationError(
        "The online store's address is neither sqlite:///FILE nor redis://HOST:PORT/NUMBER.",
        "Correct BAKEHOUSE_ONLINE_STORE, or unset it for the one in the state folder.",
    )
