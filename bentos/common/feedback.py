"""Feedback: what a prediction should have been, told later for its request's id, and appended to a log.

Holds the document and the log, and no HTTP. A KPI joins it with the prediction log by `request_id` and `item`; of two
lines for one prediction the later one counts.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model
from pydantic_core import to_json

from bentos.common.log_files import FEEDBACK_FOLDER, LogFiles, sizes
from bentos.common.predictor import MOST_DOCUMENTS, refusal

ANY = "any"
MOST_WAITING_BYTES = 256 * 1024 * 1024
"""Beyond it a pod would run out of disk, and lose predictions too."""

RequestId = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,128}$")]
Item = Annotated[int, Field(ge=0, lt=MOST_DOCUMENTS)]


def document(truth: Any) -> type[BaseModel]:
    """The document of a model whose true label is of the type `truth`."""
    return create_model(
        "Feedback",
        __config__=ConfigDict(strict=True, extra="forbid", hide_input_in_errors=True),
        __doc__="The true `label` of the document at place `item` of the request `request_id`.",
        request_id=(RequestId, ...),
        item=(Item, 0),
        label=(truth, ...),
    )


class Feedback:
    """Reads feedback on one model and keeps it in `feedback/` under `folder`, which is None where no log is kept.
    Where its files are `shipped`, it takes no more than `most_bytes` that wait for it. Thread-safe."""

    def __init__(
        self,
        folder: Path | None,
        truth: Any,
        model: str,
        model_version: int,
        *,
        shipped: bool = False,
        most_bytes: int = MOST_WAITING_BYTES,
    ) -> None:
        kind = document(truth)
        self._one = TypeAdapter(kind)
        self._many: TypeAdapter[list[Any]] = TypeAdapter(
            Annotated[list[kind], Field(min_length=1, max_length=MOST_DOCUMENTS)]  # type: ignore[valid-type]
        )
        self._is_listed = get_origin(truth) is Literal
        self.labels: tuple[str, ...] = tuple(map(str, get_args(truth))) if self._is_listed else (ANY,)
        """What the metrics tell apart: the labels, where they are listed in the type."""
        self._model = model
        self._lineage = {"model": model, "model_version": model_version}
        self._folder = folder / FEEDBACK_FOLDER if folder is not None else None
        self._files = LogFiles(self._folder, model, model_version) if self._folder is not None else None
        self._most_bytes = most_bytes if shipped else None
        self._lock = threading.Lock()

    @property
    def is_kept(self) -> bool:
        """Whether there is a log."""
        return self._files is not None

    def read(self, body: bytes) -> Sequence[Any]:
        """The documents of a request's body: one, or a list. Raises `RefusedError`."""
        several = body[:64].lstrip()[:1] == b"["
        try:
            return self._many.validate_json(body) if several else (self._one.validate_json(body),)
        except ValidationError as error:
            raise refusal(error) from None

    def keep(self, given: Sequence[Any]) -> None:
        """Append them, all or none, and return once they are on the disk. Raises `OSError`."""
        assert self._folder is not None
        assert self._files is not None
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        lines = b"".join(
            to_json({"time": now, **self._lineage, **one.model_dump(mode="json")}) + b"\n" for one in given
        )
        with self._lock:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self._most_bytes is not None:
                waiting = sum(sizes(self._folder, self._model).values())
                if waiting + len(lines) > self._most_bytes:
                    raise OSError(errno.ENOSPC, "too much of it was not shipped yet")
            self._files.append(lines, synced=True)

    def counted(self, given: Sequence[Any]) -> list[str]:
        """Which of `labels` each of them is."""
        return [str(one.label) if self._is_listed else ANY for one in given]
