"""A mix as one quantization config: how each library is told which module gets which scheme.

``Keeping.mixed`` of a method names one of ``FORMS``. What a mix does not name stays as it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from quantlab.catalog.schema import Scheme, Spec
from quantlab.catalog.sizes.shapes import shapes_of

__all__ = ["FORMS", "mixed_spec"]


def mixed_spec(mix: Scheme, library: str, keep: tuple[str, ...] = ()) -> Spec | None:
    """The config of all layers of ``mix`` for a component of ``library``; None where the mix is no
    config, as with a file. Modules of ``keep`` stay as they are."""
    form = FORMS.get(mix.keeping.mixed) if mix.keeping else None
    if form is None:
        return None
    held = {name: each for name, each in mix.layers.items() if name not in keep}
    return form({name: _spec(each, library) for name, each in held.items()}, mix.shapes)


def _by_dtype(specs: Mapping[str, Spec], shapes: str) -> Spec:
    """SDNQ: the usual dtype, others by name in ``modules_dtype_dict``; no skips of its own."""
    dtypes = {name: str(spec.args["weights_dtype"]) for name, spec in specs.items()}
    usual, _ = Counter(dtypes.values()).most_common(1)[0]
    named: dict[str, list[str]] = {}
    for name, dtype in dtypes.items():
        if dtype != usual:
            named.setdefault(dtype, []).append(f"{name}.weight")
    linear = (module.name for module in shapes_of(shapes) if module.kind == "linear")
    left = [f"{name}.weight" for name in linear if name not in specs]
    args: dict[str, Any] = {"weights_dtype": usual, "add_skip_keys": False}
    args |= {"modules_dtype_dict": named} if named else {}
    args |= {"modules_to_not_convert": left} if left else {}
    return Spec(next(iter(specs.values())).path, args)


def _by_name(specs: Mapping[str, Spec], _shapes: str) -> Spec:
    """torchao: a config a module in ``FqnToConfig``, inside the library's own config."""
    configs = {name: spec.args["quant_type"] for name, spec in specs.items()}
    whole = Spec("torchao.quantization.FqnToConfig", {"fqn_to_config": configs})
    return Spec(next(iter(specs.values())).path, {"quant_type": whole})


def _spec(scheme: Scheme, library: str) -> Spec:
    spec = scheme.spec(library)
    assert spec is not None
    return spec


FORMS: Mapping[str, Callable[[Mapping[str, Spec], str], Spec]] = {
    "by-dtype": _by_dtype,
    "by-name": _by_name,
}
