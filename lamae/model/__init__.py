"""LAMAE: masks, encoder, autoencoder, and both as files.

autoencoder.py     LAMAE: encode, decode, compare
checkpoint.py      models as safetensors and JSON
encoder.py         per-lead transformer, latent attention across leads, pooling over leads
layers.py          transformer, positions, initialisation
lead_alignment.py  the term that aligns the leads of a recording
limb_algebra.py    what Einthoven's and Goldberger's equations say of hidden limb leads
masking.py         which patches an encoder sees
pooling.py         tokens to one embedding
"""
