"""Tests; a package, as neurokit2 installs one of this name that spawned processes would find."""
