"""Program: raw recordings become shards."""
