"""A pretrained encoder in use: embeddings, and what its decoder expects of a recording."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast, get_args

import numpy as np
import torch
from torch import Tensor

from lamae.ecg.leads import canonical_lead
from lamae.ecg.preprocess import Prepared, Preprocessor
from lamae.errors import InputError
from lamae.model.autoencoder import LAMAE
from lamae.model.checkpoint import load_autoencoder
from lamae.model.masking import Mask
from lamae.model.pooling import pool
from lamae.model.recorded import Recorded, recorded_parts
from lamae.model.settings import Pooling
from lamae.pretrained.answers import Outputs, Windows
from lamae.pretrained.inputs import recordings_of
from lamae.pretrained.pretrained import Pretrained
from lamae.pretrained.windows import prepare, stacked

if TYPE_CHECKING:
    import pandas as pd

EMBEDDING: Pooling = "lead_summary"
"""Pooling of an embedding where none is named: what probes read. Few objectives train the encoder's
own attention over leads."""


class PretrainedEncoder(Pretrained):
    """An encoder and its decoder."""

    kind: ClassVar[str] = "encoder"

    def __init__(self, folder: Path, model: LAMAE, preprocess: Preprocessor, **more: Any) -> None:
        """Take a loaded autoencoder, on the device where it computes."""
        super().__init__(folder, preprocess=preprocess, **more)
        self.model = model
        self.pooling: Pooling = EMBEDDING
        """Pooling of an embedding where none is named."""

    @classmethod
    def open(cls, folder: Path, *, device: str | None) -> "PretrainedEncoder":
        """Load the autoencoder of a model folder, a checkpoint or a run."""
        model, preprocess = load_autoencoder(folder)
        return cls(folder, model.to(chosen_device(device)), preprocess)

    @torch.inference_mode()
    def outputs(self, windows: Windows, *, pooling: str | None = None) -> Outputs:
        """Embed windows; raises InputError for a pooling that there is not."""
        if pooling not in (None, *get_args(Pooling)):
            raise InputError(
                "pooling",
                value=repr(pooling),
                expected=f"one of {', '.join(get_args(Pooling))}",
                remedy=f"Leave it out for {self.pooling}.",
            )
        signal, recorded = self._on_device(windows)
        latents = self.model.encoder(signal, self.preprocess.leads, recorded=recorded)
        chosen = cast(Pooling, pooling or self.pooling)
        found = pool(latents, chosen, recorded.present)
        return Outputs(embedding=as_array(found), lead_weights=as_array(latents.lead_weights))

    @torch.inference_mode()
    def reconstruct(self, x: Any, *, leads: Sequence[str], **how: Any) -> "pd.DataFrame":
        """Draw whole leads of a recording as the decoder expects them from the others, in mV.

        Args:
            x: a single recording, as `embed` takes it; of a longer one the first window.
            leads: those to hide and draw, of the leads that the encoder reads and the recording
                has; one at least is left to see.
            how: `sampling_rate`, `unit` of an array.

        Seconds are the index, leads the columns. Where the decoder's targets are normalised, offset
        and scale of each patch are the recording's own. An encoder that was pretrained without
        hidden leads (`masking.lead`) was never asked for one.
        """
        import pandas as pd

        found = recordings_of(x, **how)
        recording = next(iter(found.recordings))
        if not found.is_single:
            raise _wrong("recordings", f"several, as {recording.name}", "one")
        window = prepare(recording, self.preprocess).windows[0]
        rows, seen = self._hidden_and_seen(leads, window)
        signal, recorded = self._on_device(stacked([window]))
        patches = signal.shape[-1] // self.model.settings.encoder.patch_size
        mask = Mask(torch.arange(patches).expand(1, len(seen), -1), torch.tensor([seen]))
        drawn = self.model(
            signal, self.preprocess.leads, mask=mask.to(signal.device), recorded=recorded
        )
        whole = self.model.signal_from(drawn.patches.float(), signal)[0].cpu().numpy()
        drawn_mv = window.millivolts(whole)[rows, : window.samples]
        seconds = np.arange(window.samples) / self.preprocess.sampling_rate
        names = [self.preprocess.leads[row] for row in rows]
        return pd.DataFrame(drawn_mv.T, index=pd.Index(seconds, name="seconds"), columns=names)

    def _hidden_and_seen(
        self, leads: Sequence[str], window: Prepared
    ) -> tuple[list[int], list[int]]:
        """Return the rows of leads to hide, and of those to see."""
        own = self.preprocess.leads
        there = [lead for lead, has in zip(own, window.present, strict=True) if has]
        asked = [canonical_lead(lead) for lead in leads]
        for lead in asked:
            if lead not in there:
                raise _wrong("leads", lead, f"some of {', '.join(there)}")
        if not asked or len(set(asked)) == len(there):
            value = f"{len(asked)} of the {len(there)} that the recording has"
            raise _wrong("leads", value, "at least one to draw and one to see")
        rows = [own.index(lead) for lead in asked]
        return rows, [row for row in range(len(own)) if row not in rows]

    def _on_device(self, windows: Windows) -> tuple[Tensor, Recorded]:
        device = next(self.model.parameters()).device
        size = self.model.settings.encoder.patch_size
        recorded = recorded_parts(
            None if windows.present.all() else torch.from_numpy(windows.present),
            torch.from_numpy(windows.samples),
            patches=windows.signal.shape[-1] // size,
            patch_size=size,
        )
        return torch.from_numpy(windows.signal).to(device), recorded.to(device)


def chosen_device(device: str | None) -> torch.device:
    """Return a device by its name, or a GPU where there is one; raises InputError for no device."""
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        raise InputError(
            "device",
            value=f"{device}: {str(error).splitlines()[0]}",
            expected="a device of torch on this machine, such as cpu or cuda",
            remedy="Leave device out.",
        ) from None


def _wrong(thing: str, value: str, expected: str) -> InputError:
    return InputError(thing, value=value, expected=expected, remedy="Ask for others.")


def as_array(values: Tensor) -> np.ndarray:
    """Return a tensor as float32 in the memory of the host."""
    return values.float().cpu().numpy()
