"""The prediction log: one NDJSON line for each predicted document, masked, written off the request's path.

Holds the queue and the thread. What personal data is, and how it is masked, is the contract's business.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_json

from bentos.common.log_files import FILE_BYTES, LogFiles

GATHER_SECONDS = 0.05
KEEP_BYTES = 10 * FILE_BYTES

_logger = logging.getLogger("bentoml.bakehouse")

Mask = Callable[[BaseModel], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class _Prediction:
    time: float
    request_id: str
    item: int
    request: BaseModel
    response: BaseModel


class PredictionLog:
    """Appends to files of at most `file_bytes` in `folder`; of the model's files the newest `keep_bytes` stay. Where
    they are `shipped`, whatever goes otherwise is lost, and counts as dropped.

    `mask` turns a request into plain values without personal data; a request that it refuses is dropped, never written
    as it came. Never blocks and never raises towards a request: when `capacity` documents wait, or the disk fails, a
    prediction is dropped and `dropped` is called with how many.
    """

    def __init__(
        self,
        folder: Path,
        mask: Mask,
        model: str,
        model_version: int,
        dropped: Callable[[int], None],
        *,
        capacity: int = 5_000,
        file_bytes: int = FILE_BYTES,
        keep_bytes: int = KEEP_BYTES,
        shipped: bool = False,
    ) -> None:
        self._folder = folder
        self._model = model
        self._model_version = model_version
        self._mask = mask
        self._dropped = dropped
        self._capacity = capacity
        deleted = dropped if shipped else None
        self._files = LogFiles(
            folder, model, model_version, file_bytes=file_bytes, keep_bytes=keep_bytes, deleted=deleted
        )
        self._queue: queue.SimpleQueue[_Prediction | None] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._write, name="prediction-log", daemon=True)
        self._thread.start()

    def record(self, request_id: str, requests: Sequence[BaseModel], responses: Sequence[BaseModel]) -> None:
        """Take the predictions of one HTTP request; returns at once."""
        now = time.time()
        room = self._capacity - self._queue.qsize()
        for item, (request, response) in enumerate(zip(requests, responses, strict=True)):
            if item >= room:
                self._dropped(len(requests) - item)
                return
            self._queue.put(_Prediction(now, request_id, item, request, response))

    def close(self, seconds: float = 10.0) -> None:
        """Write what is waiting, for at most `seconds`, and close the file."""
        self._closing.set()
        self._queue.put(None)
        self._thread.join(seconds)

    def _write(self) -> None:
        closed = False
        while not closed:
            waiting = [self._queue.get()]
            # A pause gathers a batch: one switch of threads for many predictions, not one for each.
            self._closing.wait(GATHER_SECONDS)
            while not self._queue.empty():
                waiting.append(self._queue.get_nowait())
            closed = None in waiting
            predictions = [prediction for prediction in waiting if prediction is not None]
            lines = [line for line in map(self._line, predictions) if line is not None]
            lost = len(predictions) - len(lines)
            try:
                if lines:
                    self._files.append(b"".join(lines))
            except OSError as error:
                lost = len(predictions)
                _logger.warning("Can't write the prediction log in %s: %s.", self._folder, error.strerror)
            if lost:
                self._dropped(lost)
        self._files.close()

    def _line(self, prediction: _Prediction) -> bytes | None:
        try:
            document = {
                "time": datetime.fromtimestamp(prediction.time, UTC).isoformat(timespec="milliseconds"),
                "request_id": prediction.request_id,
                "item": prediction.item,
                "model": self._model,
                "model_version": self._model_version,
                "request": self._mask(prediction.request),
                "response": prediction.response.model_dump(mode="json"),
            }
            return to_json(document) + b"\n"
        except Exception as error:  # whatever goes wrong, serving goes on and nothing unmasked is written
            _logger.warning("A prediction could not be masked and was left out of the log: %s.", type(error).__name__)
            return None
