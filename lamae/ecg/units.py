"""Units of voltage, under the names that files give them."""

PER_MV = {"mv": 1.0, "μv": 1000.0, "uv": 1000.0, "v": 0.001, "nv": 1e6}
"""Units per millivolt by their sign in lower case; the micro sign is folded to a Greek mu."""

_NAMES = {"millivolt": "mv", "microvolt": "uv", "volt": "v", "nanovolt": "nv"}


def units_per_mv(unit: str) -> float | None:
    """Return how many of a unit a millivolt is (1000 for `uV`, `µV`, `MICROVOLTS`), None of none.

    Any case, both signs for micro.
    """
    key = unit.strip().casefold()
    return PER_MV.get(_NAMES.get(key.removesuffix("s"), key))
