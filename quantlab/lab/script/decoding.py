"""The lines of a script that have its autoencoder decode as the comparison asks."""

from __future__ import annotations

from quantlab.catalog.schema import Model
from quantlab.lab.bench.decoding import ways_asked
from quantlab.words.comparison import Comparison

__all__ = ["decoding_lines"]


def decoding_lines(comparison: Comparison, model: Model) -> list[str]:
    """A line for each way of decoding that is asked for, of a pipeline that is called ``pipe``."""
    decoder = model.family.decoder
    return [f"pipe.{decoder}.enable_{way}()" for way in ways_asked(comparison)]
