"""LAMAE: masks, encoder, autoencoder, and both as files.

amplitudes.py      the scale of a recording, apart from its shape
autoencoder.py     LAMAE: encode, decode, compare
checkpoint.py      models as safetensors and JSON
decoder.py         every patch, or some hidden ones, from the latents of the visible ones
encoder.py         per-lead transformer, latent attention across leads, pooling over leads
feature_targets.py  features of the signal as targets beside its samples
kernels.py         fixed kernels, responses of which are features
layers.py          transformer, positions, initialisation
lead_alignment.py  the term that aligns the leads of a recording
limb_algebra.py    what Einthoven's and Goldberger's equations say of hidden limb leads
masking.py         masks: patches that an encoder sees, and those that enter the loss
pooling.py         tokens to one embedding
recorded.py        recorded parts of a batch: leads, patches, samples
settings.py        settings of all of these, without torch
"""
