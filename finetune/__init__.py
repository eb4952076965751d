"""An encoder and labelled shards to a diagnosis, with a report."""
