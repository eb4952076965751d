"""Encoders that LAMAE did not train, behind what a classifier asks of its own."""
