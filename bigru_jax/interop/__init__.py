"""Models from and for other programs: PyTorch, ONNX, StableHLO, safetensors."""
