"""Weights that this project has trained, as releases with their licence.

lamae-cpu.ptbxl/             the encoder of configs/pretrain/cpu.yaml, 86 minutes of one core
lamae-cpu.ptbxl-anomaly/     a detector of recordings that are not normal
lamae-cpu.ptbxl-statements/  a classifier of 71 statements
lamae-cpu.ptbxl-superclass/  a classifier of five superclasses
"""
