"""From the catalogue's description of a config object to the object itself.

``build`` makes the object, ``render`` writes the same object as Python code; the snippet and the
run therefore cannot drift apart.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from quantlab.catalog.schema import Scheme, Spec
from quantlab.errors import PlanError
from quantlab.lab.libraries import resolve
from quantlab.lab.mixed import mixed_spec

__all__ = ["build", "pipeline_config", "render", "render_simple", "simple_form", "spec_for"]

COMPUTE = "$compute"
FEW = 4
"""Items that a script has on one line."""
PIPELINE_CONFIG = "diffusers.quantizers.PipelineQuantizationConfig"


def spec_for(scheme: Scheme, library: str, cls: str = "", keep: tuple[str, ...] = ()) -> Spec:
    """The config description of ``scheme`` for a component of ``library`` and class ``cls``.

    ``keep`` are names of modules that must stay as they are.

    Raises:
        PlanError: there is none; quantization configs must come from the component's library.
    """
    mixed = mixed_spec(scheme, library, keep) if scheme.layers else None
    if mixed is not None:
        return replace(mixed, args={**mixed.args, **scheme.more.get(cls, {})})
    spec = scheme.spec(library)
    if spec is None:
        raise PlanError(f"{scheme.id} has no {library} config class")
    more = dict(scheme.more.get(cls, {}))
    names, keeping = scheme.told_to_keep(cls, keep), scheme.keeping
    if names and keeping is not None and keeping.argument:
        more[keeping.argument] = [n.rpartition(".")[2] if keeping.leaf else n for n in names]
    return replace(spec, args={**spec.args, **more}) if more else spec


def build(spec: Spec, compute_dtype: str) -> Any:
    """The object that ``spec`` describes, with ``compute_dtype`` such as "torch.float32" filled in.

    Raises:
        PlanError: an argument that the class does not take, which several config classes would
            swallow silently.
        Unavailable: the class or what its constructor needs is not here.
    """
    cls = resolve(spec.path)
    _check_arguments(cls, spec)
    return cls(**{name: _value(value, compute_dtype) for name, value in spec.args.items()})


def _check_arguments(cls: Any, spec: Spec) -> None:
    """Refuse mistyped arguments; a factory that only takes ``**kwargs`` cannot be checked."""
    parameters = inspect.signature(cls).parameters.values()
    named = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    wrong = [name for name in spec.args if named and name not in named]
    if wrong:
        raise PlanError(f"{spec.path} has no argument {wrong[0]!r}")


def _value(value: Any, compute_dtype: str) -> Any:
    if isinstance(value, Spec):
        return build(value, compute_dtype)
    if value == COMPUTE:
        return resolve(compute_dtype)
    if isinstance(value, str) and value.startswith("torch."):
        return resolve(value)
    if isinstance(value, list | tuple):
        return [_value(item, compute_dtype) for item in value]
    if isinstance(value, Mapping):
        return {key: _value(item, compute_dtype) for key, item in value.items()}
    return value


def pipeline_config(parts: Mapping[str, tuple[Spec, str]]) -> Any:
    """A diffusers ``PipelineQuantizationConfig`` from component -> (spec, compute dtype)."""
    quant_mapping = {name: build(spec, dtype) for name, (spec, dtype) in parts.items()}
    return resolve(PIPELINE_CONFIG)(quant_mapping=quant_mapping)


def simple_form(scheme: Scheme, components: list[str]) -> Any:
    """The simple form: ``quant_backend``, ``quant_kwargs``, ``components_to_quantize``.

    Raises:
        PlanError: diffusers does not take this scheme in the simple form; the message says why.
    """
    backend, kwargs = _simple(scheme)
    return resolve(PIPELINE_CONFIG)(
        quant_backend=backend,
        quant_kwargs={name: _value(value, "torch.float32") for name, value in kwargs.items()},
        components_to_quantize=components,
    )


def render_simple(scheme: Scheme, components: list[str], compute_dtype: str) -> str:
    """``simple_form`` as a Python expression over several lines.

    Raises:
        PlanError: as ``simple_form``.
    """
    backend, kwargs = _simple(scheme)
    pairs = (f"{name!r}: {_render_value(v, compute_dtype)[0]}" for name, v in kwargs.items())
    return (
        f"{PIPELINE_CONFIG}(\n"
        f"    quant_backend={backend!r},\n"
        f"    quant_kwargs={{{', '.join(pairs)}}},\n"
        f"    components_to_quantize={components!r},\n"
        ")"
    )


def _simple(scheme: Scheme) -> tuple[str, Mapping[str, Any]]:
    if scheme.simple is None:
        raise PlanError(
            f"diffusers does not accept {scheme.id} in the simple form: that needs one backend "
            "with the same arguments in diffusers and transformers; use quant_mapping"
        )
    return scheme.simple


def render(spec: Spec, compute_dtype: str) -> tuple[str, set[str]]:
    """``spec`` as a Python expression, and the modules that it needs imported."""
    modules = {spec.path.rpartition(".")[0]}
    pieces = []
    for name, value in spec.args.items():
        text, more = _render_value(value, compute_dtype)
        pieces.append(f"{name}={text}")
        modules |= more
    return f"{spec.path}({', '.join(pieces)})", modules


def _render_value(value: Any, compute_dtype: str) -> tuple[str, set[str]]:
    if isinstance(value, Spec):
        return render(value, compute_dtype)
    if value == COMPUTE:
        return compute_dtype, {"torch"}
    if isinstance(value, str) and value.startswith("torch."):
        return value, {"torch"}
    if isinstance(value, list | tuple):
        rendered = [_render_value(item, compute_dtype) for item in value]
        return _listed("[", [text for text, _ in rendered], "]"), _all(rendered)
    if isinstance(value, Mapping):
        items = {key: _render_value(item, compute_dtype) for key, item in value.items()}
        pairs = [f"{key!r}: {text}" for key, (text, _) in items.items()]
        return _listed("{", pairs, "}"), _all(items.values())
    return repr(value), set()


def _all(rendered: Iterable[tuple[str, set[str]]]) -> set[str]:
    return set().union(*(modules for _, modules in rendered))


def _listed(opening: str, items: list[str], closing: str) -> str:
    """Items on one line, or on one each where they are many."""
    if len(items) <= FEW:
        return f"{opening}{', '.join(items)}{closing}"
    return "\n".join([opening, *(f"    {item}," for item in items), closing])
