"""Reads code: its text, its names and values, its calls. Knows Python and nothing of libraries."""
