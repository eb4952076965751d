"""Shards to an encoder: masked pretraining."""
