"""quantlab: pick a quantization method from facts, try several on Flux, share what you saw.

Importing this package imports neither torch nor gradio.
"""

from quantlab.functions import check, compare, link, pick, predict, propose

__all__ = ["__version__", "check", "compare", "link", "pick", "predict", "propose"]

__version__ = "0.1.0"
