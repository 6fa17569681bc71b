"""An ONNX graph ready to answer: what export, evaluation and the service all run, so that they can't differ.

Holds loading, the digest check and running; knows no model, no contract and no HTTP.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from bakehouse.errors import DataError, ReleaseError

Arrays = dict[str, NDArray[Any]]


class OnnxModel:
    """One loaded graph. Thread-safe: onnxruntime allows concurrent runs of one session.

    `inputs` and `outputs` are the graph's names in its own order; `digest` is `sha256:` and 64 hex digits of the file.
    """

    def __init__(
        self,
        path: Path,
        expected_digest: str | None = None,
        *,
        intra_op_threads: int = 1,
        inter_op_threads: int = 1,
    ) -> None:
        """Load `path`. Raises `DataError` where it is missing or no ONNX graph, `ReleaseError` where its digest is not
        `expected_digest`.

        One thread by default: a row takes microseconds, far less than waking a pool, and a worker owns one core.
        Give more for large batches. 0 leaves the choice to onnxruntime.
        """
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DataError(f"{path} can't be read: {error.strerror or error}.") from error
        self.digest = "sha256:" + hashlib.sha256(content).hexdigest()
        if expected_digest is not None and self.digest != expected_digest:
            raise ReleaseError(
                f"{path.name} has digest {self.digest}, but its release says {expected_digest}.",
                "The file was changed or belongs to another release: deploy the release's own image.",
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = intra_op_threads
        options.inter_op_num_threads = inter_op_threads
        # Spinning buys microseconds in a batch and burns a whole core while a service is idle.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises its own classes, which share no base but Exception
            reason = str(error).strip().splitlines()[0]
            raise DataError(f"{path.name} is not an ONNX graph that onnxruntime can load: {reason}") from error
        self.inputs = tuple(node.name for node in self._session.get_inputs())
        self.outputs = tuple(node.name for node in self._session.get_outputs())
        self._names = list(self.outputs)

    def run(self, arrays: Mapping[str, NDArray[Any]]) -> Arrays:
        """The graph's outputs by name. `arrays` are its inputs by name, rows along the first axis.

        Raises `DataError` where an input is missing, unknown, or of another type or shape than the graph takes.
        """
        try:
            results = cast("Sequence[NDArray[Any]]", self._session.run(self._names, dict(arrays)))
        except Exception as error:
            reason = str(error).strip().splitlines()[0]
            shapes = ", ".join(
                f"{name} {np.asarray(array).dtype}{list(np.shape(array))}" for name, array in arrays.items()
            )
            raise DataError(f"The graph takes {', '.join(self.inputs)}, but was given {shapes}: {reason}") from error
        return dict(zip(self._names, results, strict=True))
