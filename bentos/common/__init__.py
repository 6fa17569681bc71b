"""What every room shares. Importing it turns ONNX Runtime's telemetry off, which is on in its Linux builds."""

import os

# Before onnxruntime is first imported, and in a service too, which no activated shell may have started.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
