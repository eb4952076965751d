"""Which recordings are good enough to be in the shards."""

import numpy as np

from lamae.errors import RecordError
from lamae.preprocess import Preprocessor
from lamae.record import Record


def check_quality(record: Record, preprocess: Preprocessor, *, minimum_duration_s: float) -> None:
    """Raise RecordError for a recording that is too short, flat, or refused by `preprocess`."""
    if record.duration_s < minimum_duration_s:
        raise RecordError(
            f"recording {record.name}",
            reason="too_short",
            value=f"{record.duration_s:g} s",
            expected=f"at least {minimum_duration_s:g} s",
            remedy="Leave it out, or lower minimum_duration_s.",
        )
    signal_mv, present = preprocess.select(record)
    if not np.ptp(signal_mv[present], axis=1).any():
        raise RecordError(
            f"recording {record.name}",
            reason="all_leads_flat",
            value="every lead is constant",
            expected="a signal in at least one lead",
            remedy="Leave it out.",
        )
