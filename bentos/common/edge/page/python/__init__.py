"""What stands in a browser for numpy and onnxruntime, and what the page asks of the runner."""
