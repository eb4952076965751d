"""The convolutional autoencoder of the VAE-BiLSTM-MHA paper: 12-32-64-128 channels and back."""

from jaxtyping import Float
from torch import Tensor, nn

_CHANNELS = (32, 64, 128)
_KERNEL_SIZES = (7, 5, 3)


class Cae(nn.Module):
    """Three convolutions that halve the rate, and their mirror image; 75,340 parameters."""

    def __init__(self, leads: int) -> None:
        """Build with random weights."""
        super().__init__()
        widths = (leads, *_CHANNELS)
        down: list[nn.Module] = []
        up: list[nn.Module] = []
        for number, size in enumerate(_KERNEL_SIZES):
            outer, inner = widths[number], widths[number + 1]
            down += [nn.Conv1d(outer, inner, size, stride=2, padding=size // 2), nn.ReLU()]
            mirror = nn.ConvTranspose1d(
                inner, outer, size, stride=2, padding=size // 2, output_padding=1
            )
            up = [mirror, *([nn.ReLU(), *up] if up else [])]
        self.encode = nn.Sequential(*down)
        self.decode = nn.Sequential(*up)

    def forward(self, signal: Float[Tensor, "b l samples"]) -> Float[Tensor, "b l samples"]:
        """Reconstruct a window."""
        decoded: Tensor = self.decode(self.encode(signal))
        return decoded[..., : signal.shape[-1]]
