"""Stands in a browser for onnxruntime, which there is JavaScript and answers later: a run without outputs says what it
was asked, and the same run with them goes on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


class Asked(BaseException):  # no error: what the graph is to be given
    """The graph's inputs by name."""

    def __init__(self, inputs: Mapping[str, Any]) -> None:
        super().__init__()
        self.inputs = inputs


@dataclass(frozen=True)
class _Node:
    name: str


class SessionOptions:
    """Nothing to be set."""

    def add_session_config_entry(self, _name: str, _value: str) -> None:
        """Nothing."""


class InferenceSession:
    """One graph. `names` are those of its inputs and of its outputs, as the real session has them; `outputs` are what
    the next run gives."""

    names: tuple[Sequence[str], Sequence[str]] = ((), ())
    outputs: Mapping[str, Any] | None = None

    def __init__(self, *_graph: Any, **_options: Any) -> None:
        pass

    def get_inputs(self) -> list[_Node]:
        """The inputs in the graph's order."""
        return [_Node(name) for name in self.names[0]]

    def get_outputs(self) -> list[_Node]:
        """The outputs in the graph's order."""
        return [_Node(name) for name in self.names[1]]

    def run(self, names: Sequence[str], inputs: Mapping[str, Any]) -> list[Any]:
        """The outputs, where they are known. Raises `Asked`."""
        if self.outputs is None:
            raise Asked(inputs)
        return [self.outputs[name] for name in names]
