"""Readers: a file of some format becomes a `lamae.record.Record`."""
