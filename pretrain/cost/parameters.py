"""Number of parameters of a model, part by part."""

from collections import Counter

from torch import nn


def parameter_report(model: nn.Module) -> dict[str, int]:
    """Return the number of parameters of the model ("total"), of its parts and of theirs.

    Keys are the names of modules and of parameters, two deep: "encoder", "encoder.per_lead".
    """
    counts: Counter[str] = Counter()
    for name, parameter in model.named_parameters():
        parts = name.split(".")
        for key in ("total", parts[0], ".".join(parts[:2])):
            counts[key] += parameter.numel()
    return dict(sorted(counts.items()))
