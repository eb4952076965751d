"""LAMAE: masks, encoder, autoencoder, and both as files.

amplitudes.py      the scale of a recording, apart from its shape
autoencoder.py     LAMAE: encode, decode, compare
checkpoint.py      autoencoders and encoders on disk
decoder.py         every patch, or some hidden ones, from the latents of the visible ones
encoder.py         per-lead transformer, latent attention across leads, pooling over leads
feature_targets.py  features of the signal as targets beside its samples
kernels.py         fixed kernels, responses of which are features
layers.py          transformer, positions, initialisation
lead_alignment.py  the term that aligns the leads of a recording
limb_algebra.py    hidden limb leads by Einthoven's and Goldberger's equations
masking.py         masks: patches that an encoder sees, and those that enter the loss
model_folder.py    a folder of JSON, safetensors and checksums
pooling.py         tokens to one embedding
recorded.py        recorded parts of a batch: leads, patches, samples
settings.py        settings of all of these, without torch
"""
