"""LAMAE: masks, encoder, autoencoder, and both as files.

amplitudes.py      the scale of a recording, apart from its shape
autoencoder.py     LAMAE: encode, decode, compare
block_outputs.py    what leaves every block of an encoder
checkpoint.py      autoencoders and encoders on disk
decoder.py         every patch, or some hidden ones, from the latents of the visible ones
encoder.py         per-lead transformer, latent attention across leads, pooling over leads
kernels.py         fixed kernels, responses of which are features
layers.py          transformer, positions, initialisation
masking.py         masks: patches that an encoder sees, and those that enter the loss
model_folder.py    a folder of JSON, safetensors and checksums
objective/         terms of the loss beside the error of hidden patches
pooling.py         tokens to one embedding
pretrained_encoder.py  an encoder in use, opened by its name
recorded.py        recorded parts of a batch: leads, patches, samples
settings.py        settings of all of these, without torch
"""
