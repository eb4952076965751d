"""Weights that this project has trained, with their licence.

lamae-cpu.ptbxl/  the encoder of configs/pretrain/cpu.yaml on PTB-XL, 86 minutes of one core
"""
