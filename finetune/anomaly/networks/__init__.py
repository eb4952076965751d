"""Networks of the detectors.

bottleneck.py  the same with a latent that is smaller than its window
cae.py         the convolutional autoencoder
objective.py   likelihood and divergence
vae.py         VAE-BiLSTM and VAE-BiLSTM-MHA
"""
