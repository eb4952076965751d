"""Detectors of every kind: what they are made of, and how a window is put to them."""

from typing import NamedTuple

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from finetune.anomaly.detector.latent_distance import Normals
from finetune.anomaly.detector.masked_error import complementary_masks, masked_squares
from finetune.anomaly.detector.scores import Deviation, mean_over, vae_deviation
from finetune.anomaly.networks.bottleneck import BottleneckVae
from finetune.anomaly.networks.cae import Cae
from finetune.anomaly.networks.vae import Vae
from finetune.anomaly.settings import Architecture
from finetune.networks.heads import pooled_width
from lamae.batches.dataset import Batch
from lamae.model.autoencoder import LAMAE
from lamae.model.pooling import pool
from lamae.model.recorded import Recorded, recorded_parts

AnomalyNetwork = Cae | Vae | BottleneckVae | LAMAE


class LatentNormals(nn.Module):
    """Mean and covariance of normal embeddings, as part of a model's weights."""

    centre: Tensor
    whitening: Tensor

    def __init__(self, width: int) -> None:
        """Begin with the distance to the origin."""
        super().__init__()
        self.register_buffer("centre", torch.zeros(width))
        self.register_buffer("whitening", torch.eye(width))

    def learn(self, normals: Normals) -> None:
        """Take what was fitted to normal recordings."""
        self.centre.copy_(torch.from_numpy(normals.centre))
        self.whitening.copy_(torch.from_numpy(normals.whitening))

    def forward(self, embeddings: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
        """Return the distance of each embedding."""
        return ((embeddings - self.centre) @ self.whitening).norm(dim=1)


class Parts(NamedTuple):
    """The modules of a detector."""

    network: AnomalyNetwork
    """The trained network."""
    normals: LatentNormals | None
    """Mean and covariance of normal embeddings, of kind lamae."""


class Detector(nn.Module):
    """A model of normal windows, and how far a window deviates from it."""

    def __init__(self, architecture: Architecture, network: LAMAE | None = None) -> None:
        """Build with random weights, or of kind lamae around a pretrained autoencoder."""
        super().__init__()
        self.architecture = architecture
        self.network, self.normals = _parts(architecture, network)

    def forward(self, batch: Batch) -> Deviation:
        """Score windows on the device where the weights are."""
        device = next(self.network.parameters()).device
        signal = batch.signal.to(device)
        if isinstance(self.network, LAMAE):
            return self._masked(self.network, signal, batch)
        counted = recorded_samples(batch).to(device)
        if isinstance(self.network, Cae):
            squares = (signal - self.network(signal)).square() * counted
            return Deviation(mean_over(squares, counted)[:, None], squares)
        return vae_deviation(signal, self.network(signal), counted, self.architecture.scores)

    def embed(self, batch: Batch) -> Float[Tensor, "b d"]:
        """Embed windows by the encoder of kind lamae, of which nothing is hidden."""
        network = self.network
        assert isinstance(network, LAMAE), "other kinds have no encoder"
        device = next(network.parameters()).device
        recorded = _recorded(batch, network, device)
        leads = self.architecture.preprocess.leads
        latents = network.encoder(batch.signal.to(device), leads, recorded=recorded)
        return pool(latents, self.architecture.pooling, recorded.present).float()

    def _masked(self, network: LAMAE, signal: Tensor, batch: Batch) -> Deviation:
        assert self.normals is not None, "kind lamae has both"
        size, leads = network.settings.encoder.patch_size, self.architecture.preprocess.leads
        recorded = _recorded(batch, network, signal.device)
        masks = complementary_masks(
            len(leads), signal.shape[-1] // size, masks=self.architecture.masks
        )
        squares, counted = masked_squares(network, signal, leads, masks=masks, recorded=recorded)
        error = mean_over(squares.mean(dim=-1), counted)
        distance = self.normals(self.embed(batch))
        samples = rearrange(squares, "b l n p -> b l (n p)")
        return Deviation(torch.stack([error, distance], dim=1), samples)


def recorded_samples(batch: Batch) -> Bool[Tensor, "b l t"]:
    """Return True for each sample of a lead that was recorded: no absent lead, no padding."""
    counted = torch.ones(batch.signal.shape, dtype=torch.bool)
    if batch.present is not None:
        counted &= batch.present[..., None]
    if batch.samples is not None:
        counted &= (torch.arange(counted.shape[-1]) < batch.samples[:, None])[:, None]
    return counted


def deviations(detector: Detector, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    """Return scores (windows, scores) and deviations (windows, leads, samples), in float32."""
    with torch.inference_mode():
        found = detector(batch)
    return found.scores.float().cpu().numpy(), found.samples.float().cpu().numpy()


def _parts(architecture: Architecture, network: LAMAE | None) -> Parts:
    leads = len(architecture.preprocess.leads)
    if architecture.kind == "cae":
        return Parts(Cae(leads), None)
    if architecture.kind == "vae_bilstm":
        vae = architecture.vae
        return Parts(BottleneckVae(vae, leads) if vae.bottleneck else Vae(vae, leads), None)
    assert architecture.autoencoder is not None, "kind lamae names its sizes"
    autoencoder = LAMAE(architecture.autoencoder) if network is None else network
    width = architecture.autoencoder.encoder.width
    features = pooled_width(architecture.pooling, width=width, leads=leads)
    return Parts(autoencoder, LatentNormals(features))


def _recorded(batch: Batch, network: LAMAE, device: torch.device) -> Recorded:
    """Return on a device what was recorded of each window."""
    size = network.settings.encoder.patch_size
    patches = batch.signal.shape[-1] // size
    found = recorded_parts(batch.present, batch.samples, patches=patches, patch_size=size)
    return found.to(device)
