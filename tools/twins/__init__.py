"""Tiny random pipelines, one a family, made of the real classes.

    python -m tools.twins FAMILY OUT [--repo OWNER/NAME]

A twin has the parts of its family's pipelines, under the names and in the folders that the hub has
them in, and is small: streams 64 wide, so that nearly every Linear layer has inputs that are a
multiple of 64, which block-wise schemes want, and at least one of a denoiser has the 16,384 numbers
below which SDNQ leaves a layer alone. A wider one is for what takes more than that. Weights are
drawn from a fixed seed, so the same libraries make the same bytes; the pictures mean nothing.
"""

from tools.twins.families import FAMILIES
from tools.twins.save import build

__all__ = ["FAMILIES", "build"]
