"""Classifiers on a device, without torch.

onnx_classifier.py  such a file on recordings
onnx_session.py     onnxruntime on ONNX files
pretrained_onnx.py  an ONNX file in use, opened by its name
stream_windows.py   windows over samples that come in pieces
streaming.py        and on samples as they come
"""
