"""quantlab: pick a quantization method from facts, try several on Flux, share what you saw.

Importing this package imports neither torch nor gradio.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
