"""The device that tests run on, handed in as a composition root does. Imports torch."""

from __future__ import annotations

from quantlab.lab.device import this_device

__all__ = ["DEVICE"]

DEVICE = this_device()
