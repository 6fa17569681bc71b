"""An MLServer runtime around onnxruntime. An order comes as JSON in a BYTES tensor, MLServer's way for documents."""

from __future__ import annotations

from mlserver import MLModel  # type: ignore[import-not-found]
from mlserver.codecs import StringCodec  # type: ignore[import-not-found]
from mlserver.types import InferenceRequest, InferenceResponse  # type: ignore[import-not-found]

from tests.benchmarks.servers.order import Order, judge, session


class Orders(MLModel):  # type: ignore[misc]
    """Judges the orders of one inference request."""

    async def load(self) -> bool:
        """Load the graph once."""
        self.graph = session(self.settings.parameters.uri)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """A verdict as JSON for each order."""
        orders = [Order.model_validate_json(text) for text in StringCodec.decode_input(payload.inputs[0])]
        verdicts = [verdict.model_dump_json() for verdict in judge(self.graph, orders)]
        return InferenceResponse(
            model_name=self.name, outputs=[StringCodec.encode_output("verdicts", verdicts, use_bytes=False)]
        )
