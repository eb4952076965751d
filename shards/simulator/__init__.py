"""Parts of the 12-lead generator that shards/simulate.py puts together."""
