"""Names from code by which the table's rows are found: classes, arguments, backends."""

from __future__ import annotations

from collections.abc import Iterator

from quantlab.catalog.schema import Scheme, Spec

__all__ = ["code_names"]

CONFIG = ("PipelineQuantizationConfig", "quant_mapping", "quantization_config")
SIMPLE = ("quant_backend", "quant_kwargs", "components_to_quantize")


def code_names(scheme: Scheme | None) -> str:
    """What stands in code that loads ``scheme``, in one text to search in."""
    if scheme is None:
        return ""
    found = []
    for spec in (scheme.diffusers, scheme.transformers):
        if spec is not None:
            found += list(_names(spec))
    if scheme.through_config:
        found += CONFIG
    if scheme.simple is not None:
        found += [*SIMPLE, scheme.simple[0]]
    return " ".join(dict.fromkeys(found))


def _names(spec: Spec) -> Iterator[str]:
    """Class, arguments and their plain values."""
    yield spec.path
    for name, value in spec.args.items():
        yield name
        if isinstance(value, Spec):
            yield from _names(value)
        elif isinstance(value, str) and not value.startswith("$"):
            yield value
