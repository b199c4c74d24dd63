"""Bytes that are fetched for a plan, from shape tables and what is known of the files."""

from __future__ import annotations

from collections.abc import Mapping

from quantlab.catalog.schema import Model
from quantlab.catalog.sizes.storage import WIDTHS
from quantlab.catalog.sizes.weights import component_bytes, plain_bytes
from quantlab.catalog.table import Catalog
from quantlab.words.plan import LEFT_OUT

__all__ = ["download_bytes"]


def download_bytes(model: Model, parts: Mapping[str, str], catalog: Catalog) -> int:
    """Bytes of the weight files that are fetched; tokenizers, a few MB, are left out.

    Files hold the base dtype, whatever the plan makes of it, but for those of a model of one's
    own, which are known; a GGUF file holds the scheme, and what it keeps unquantized in 16 bits.
    """
    if model.local:
        return 0
    fetched = 0
    for component in model.components:
        if component.file or parts.get(component.name) == LEFT_OUT:
            continue
        scheme = catalog.schemes.get(parts.get(component.name, ""))
        if scheme is not None and scheme.from_file:
            fetched += component_bytes(model, component.name, scheme.id, "bf16", catalog)
        else:
            whole = plain_bytes(model, component.name, WIDTHS[model.base_dtype])
            fetched += whole if component.file_bytes is None else component.file_bytes
    return fetched
