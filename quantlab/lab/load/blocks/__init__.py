"""Pipelines of blocks, diffusers' modular ones: their files, and one put together."""
