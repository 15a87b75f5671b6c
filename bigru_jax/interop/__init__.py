"""Import and export of models: PyTorch, ONNX, StableHLO, safetensors."""
