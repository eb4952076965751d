"""What targets are normalised by: set once, before the first step, and kept with the weights."""

from lamae.dataset import Split, shuffled_positions
from pretrain.loop import Training

_RECORDINGS = 512


def set_statistics(training: Training, data: Split) -> None:
    """Normalise targets by the first recordings trained on; the weights hold the result."""
    model, settings = training.bare_model, training.settings
    if model.features is None:
        return
    count = min(_RECORDINGS, len(data))
    batch = data.batch(shuffled_positions(0, count, count=len(data), seed=settings.seed))
    signal, present = batch.signal, batch.present
    if batch.samples is not None:  # padding has no features of a recording
        whole = batch.samples == signal.shape[-1]
        if whole.any():
            signal = signal[whole]
            present = None if present is None else present[whole]
    device = training.accelerator.device
    model.set_statistics(signal.to(device), None if present is None else present.to(device))
