"""Several ONNX graphs as one: side by side on shared inputs, with nodes before them and after. For training only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from onnx import ModelProto, NodeProto, TensorProto, checker, compose, helper

IR_VERSION = 10
OPSETS = {"": 21, "ai.onnx.ml": 3}
"""What every graph of ours declares, and the parts of a merged one must be valid under. The converters can write no
later `ai.onnx.ml`: it has another tree operator."""


@dataclass(frozen=True)
class Part:
    """A graph with one input, which takes the tensor `takes`. Its outputs are called `name/…` in the merged graph."""

    name: str
    model: ModelProto
    takes: str


@dataclass(frozen=True)
class Tensor:
    """The element type and the columns of an input or output, whose first axis is the rows; a scalar a row has none."""

    kind: int = TensorProto.FLOAT
    columns: int | None = None


def merged(
    name: str,
    inputs: Mapping[str, Tensor],
    before: Sequence[NodeProto],
    parts: Sequence[Part],
    after: Sequence[NodeProto],
    outputs: Mapping[str, Tensor],
    constants: Sequence[TensorProto] = (),
) -> bytes:
    """The graph as a file's bytes: `before`, the parts, `after`, each reading what those ahead of it write.

    The same graphs give the same bytes. Raises `onnx.checker.ValidationError` where they do not fit together.
    """
    nodes, initializers = list(before), list(constants)
    for part in parts:
        prefix = f"{part.name}/"
        graph = compose.add_prefix(part.model, prefix).graph
        (takes,) = graph.input
        nodes += [helper.make_node("Identity", [part.takes], [takes.name]), *graph.node]
        initializers += graph.initializer
    graph = helper.make_graph([*nodes, *after], name, _values(inputs), _values(outputs), initializer=initializers)
    imports = [helper.make_opsetid(domain, version) for domain, version in OPSETS.items()]
    model = helper.make_model(graph, opset_imports=imports, ir_version=IR_VERSION, producer_name="bakehouse")
    checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def _values(tensors: Mapping[str, Tensor]) -> list[object]:
    return [
        helper.make_tensor_value_info(name, tensor.kind, ["rows", *([tensor.columns] if tensor.columns else [])])
        for name, tensor in tensors.items()
    ]
