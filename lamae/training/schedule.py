"""Learning-rate schedules: functions of the step."""

import math


def warmup_cosine(step: int, *, steps: int, warmup_steps: int) -> float:
    """Return the factor on the peak learning rate: linear warm-up, then half a cosine to zero."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, steps - warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
