"""Whether a recording can be what its header says, by the physics of the signal."""
