"""Classifiers on small devices: ONNX files, int8, and recordings that never end."""
