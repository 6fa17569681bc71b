"""The prediction log: one NDJSON line for each predicted document, masked, written off the request's path.

Holds the queue, the thread and the files. What personal data is, and how it is masked, is the contract's business.
"""

from __future__ import annotations

import logging
import os
import queue
import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_json

FOLDER_VARIABLE = "BAKEHOUSE_PREDICTION_LOG"
GATHER_SECONDS = 0.05

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
    """Appends to `<model>-<model version>-<start>-<process>.ndjson` in `folder`, a new file after `file_bytes`; the
    newest `keep_files` of the model stay.

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
        file_bytes: int = 64 * 1024 * 1024,
        keep_files: int = 10,
    ) -> None:
        self._folder = folder
        self._model = model
        self._model_version = model_version
        self._mask = mask
        self._dropped = dropped
        self._capacity = capacity
        self._file_bytes = file_bytes
        self._keep_files = keep_files
        self._queue: queue.SimpleQueue[_Prediction | None] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._file: int | None = None
        self._written = 0
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
                self._append(b"".join(lines))
            except OSError as error:
                lost = len(predictions)
                _logger.warning("Can't write the prediction log in %s: %s.", self._folder, error.strerror)
            if lost:
                self._dropped(lost)
        self._close_file()

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

    def _append(self, lines: bytes) -> None:
        if not lines:
            return
        if self._written + len(lines) > self._file_bytes:
            self._close_file()
        file = self._file if self._file is not None else self._open_file()
        view = memoryview(lines)
        while view:
            count = os.write(file, view)
            self._written += count
            view = view[count:]

    def _open_file(self) -> int:
        name = f"{self._model}-{self._model_version}-{time.time_ns()}-{os.getpid()}.ndjson"
        self._file = os.open(self._folder / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._written = 0
        # Matched whole: `orders-*` would take in the files of a model `orders-eu`.
        ours = re.compile(rf"{re.escape(self._model)}-\d+-\d+-\d+\.ndjson")
        files = [path for path in self._folder.iterdir() if ours.fullmatch(path.name)]
        files.sort(key=lambda path: path.stat().st_mtime_ns)
        for old in files[: -self._keep_files]:
            old.unlink(missing_ok=True)
        return self._file

    def _close_file(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
