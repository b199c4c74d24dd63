"""FLUX at full size without its weights; see run.py."""
