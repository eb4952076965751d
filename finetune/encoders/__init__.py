"""Encoders of others, described in YAML.

description.py       the YAML file that describes one
hubert_ecg.py        HuBERT-ECG
onnx_file.py         ONNX
opening.py           opened for a run, and kept with a classifier
other_encoder.py     such an encoder, called as LAMAE's is
torchscript_file.py  TorchScript
untrained.py         fixed kernels and amplitudes, in an encoder's place
"""
