"""Comparison of finished runs on the recordings that all of them evaluated."""
