"""Models that no file under data/ lists: read by their configs and headers, not their weights."""
