"""The pipelines that quantlab knows by name: what data/models/*.toml says of them.

``schema`` has the values, ``reader`` reads the files. Nothing here knows how a family is called,
how many bytes a component takes or what fits where.
"""

from quantlab.catalog.models.reader import read_models
from quantlab.catalog.models.schema import Component, Model

__all__ = ["Component", "Model", "read_models"]
