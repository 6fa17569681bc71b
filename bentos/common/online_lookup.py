"""What a service does with the online store: looks up entities, and refuses a request where they are not to be had."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

from bakehouse.errors import BakehouseError
from bentos.common.masking import masking_key
from bentos.common.online_store import Entity, Features, OnlineStore, online_address, open_online_store
from bentos.common.predictor import RefusedError, refused
from bentos.common.scrubbing import tokens

_logger = logging.getLogger("bentoml.bakehouse")


class OnlineLookup:
    """The online store of one room: Feast's `project`, its `views`, and the `label` of the tokens that its ids become.

    Everything is opened on first use: a service answers full records without a store.
    """

    def __init__(self, model: str, project: str, views: Mapping[str, Sequence[str]], label: str) -> None:
        self._model = model
        self._project = project
        self._views = views
        self._label = label

    def token(self, name: str) -> str:
        """What masking makes of an id: the store knows nobody by another name."""
        return self._token(name)

    def read(self, entities: Mapping[str, Entity]) -> dict[str, dict[str, Features | None]]:
        """The features of each entity by view, under the name of the field that asks for it.

        Raises `RefusedError`: 404 with every field of which the first view knows nothing, 503 where the store can't be
        read.
        """
        if not entities:
            return {}
        try:
            read = self._store.read(self._views, list(entities.values()))
        except BakehouseError as error:
            _logger.warning("%s", error)
            raise refused(503, "(feature store)", "It can't be read just now; send the whole record") from error
        first = next(iter(self._views))
        unknown = [field for field, features in zip(entities, read, strict=True) if features[first] is None]
        if unknown:
            reason = "The feature store knows nothing of it"
            raise RefusedError(404, [{"field": field, "reason": reason} for field in unknown])
        return dict(zip(entities, read, strict=True))

    @cached_property
    def _store(self) -> OnlineStore:
        address = online_address(self._model)
        if address is None:
            raise refused(503, "(feature store)", "This service has none; send the whole record")
        return open_online_store(address, self._project)

    @cached_property
    def _token(self) -> Callable[[str], str]:
        return tokens(masking_key(), self._label)
