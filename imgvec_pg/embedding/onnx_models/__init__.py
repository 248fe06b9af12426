"""ONNX Runtime, which the extra `onnx` brings: image encoders exported once, faster than torch on most CPUs."""
