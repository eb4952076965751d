"""Anomaly detection: models of normal recordings, and how far any recording lies from them."""
