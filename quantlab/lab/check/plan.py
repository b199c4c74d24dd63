"""The plan that a piece of code stands for, and the settings of the picture it makes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from quantlab.catalog.comparison import parse_plan
from quantlab.catalog.schema import Model, Scheme
from quantlab.errors import InputError
from quantlab.lab.bench.decoding import WAYS
from quantlab.lab.check.code.values import Call, Made, Part, Ref, Table, const
from quantlab.lab.check.known import scheme_of, scheme_of_kwargs, table_of
from quantlab.lab.check.uses import Code, Load, config_of

__all__ = ["Told", "compiled", "parts_of", "plan_of"]

LAYERWISE = "layerwise-fp8"
COMPILING = ("compile", "compile_repeated_blocks")
DTYPES = {"bfloat16": "bf16", "float32": "fp32", "float": "fp32"}
_QUANT = re.compile(r"[-_.](I?Q\d(?:_[A-Z\d]+)*|BF16|F16)(?:\.gguf)$", re.IGNORECASE)


@dataclass(frozen=True)
class Told:
    """What the code says of plan, model and picture; None and nothing where it does not."""

    plan: str | None = None
    model: Model | None = None
    settings: Mapping[str, int] = field(default_factory=dict)
    schemes: Mapping[str, Scheme] = field(default_factory=dict)
    """Component -> scheme, of those that the catalogue has."""
    load: Load | None = None


def plan_of(code: Code) -> Told:
    """What ``code`` stands for; of several pipelines the first that is of a known model."""
    found = [load for load in code.loads if load.is_pipeline]
    known = [load for load in found if load.model is not None] or found
    if not known:
        return Told()
    load = known[0]
    parts = _parts(code, load)
    model = load.model
    if parts is None:
        return Told(None, model, load=load)
    schemes = {n: code.catalog.schemes[s] for n, s in parts.items() if s in code.catalog.schemes}
    text = _text(parts, code, load)
    if model is not None and text is not None:
        try:
            text = str(parse_plan(text, model, code.catalog))
        except InputError:
            return Told(None, model, schemes=schemes, load=load)
    return Told(text, model, _settings(code, load), schemes, load)


def _text(parts: Mapping[str, str], code: Code, load: Load) -> str | None:
    plain = parts or ({} if (dtype := _dtype(load)) is None else {"": dtype})
    if not plain:
        return None
    text = ",".join(f"{name}={scheme}" if name else scheme for name, scheme in plain.items())
    return text + ("@compiled" if compiled(code, load) else "")


def _dtype(load: Load) -> str | None:
    argument = load.call.value("dtype") or load.call.value("torch_dtype")
    if argument is None:
        return "fp32"  # what diffusers 0.42 loads where no dtype is given
    name = argument.name if isinstance(argument, Ref) else str(const(argument)).rpartition(".")[2]
    return DTYPES.get(name)


def compiled(code: Code, load: Load) -> bool:
    """Whether what was loaded, or a part of it, is compiled."""
    if code.calls_within(load, *COMPILING):
        return True
    return any(
        call.path == "torch.compile" and call.args and code.load_of(call.args[0].value) is load
        for call in code.program.calls
    )


def parts_of(code: Code, load: Load) -> dict[str, str]:
    """Component -> scheme id of what is known; "" is what was loaded by itself."""
    if load.is_pipeline:
        return _parts(code, load) or {}
    scheme = _of_part(code, load)
    return {"": scheme} if scheme else {}


def _parts(code: Code, load: Load) -> dict[str, str] | None:
    """Component -> scheme id; None where a config is there that is none of the catalogue's."""
    found = _stored(load)
    config = config_of(load)
    if "quantization_config" in load.call.kwargs and config is None:
        return None
    if config is not None:
        mapped = _of_config(code, load, config)
        if mapped is None:
            return None
        found |= mapped
    for name, argument in load.call.kwargs.items():
        part = code.load_of(argument.value) if isinstance(argument.value, Made) else None
        if part is not None and not part.is_pipeline:
            scheme = _of_part(code, part)
            if scheme is None:
                return None
            found |= {name: scheme} if scheme else {}
    return found | _layerwise(code, load)


def _stored(load: Load) -> dict[str, str]:
    """What the repository holds quantized."""
    if load.model is None:
        return {}
    held = (p.schemes for p in load.model.prequantized if p.repo.lower() == load.repo.lower())
    return dict(next(held, {}))


def _of_config(code: Code, load: Load, config: Call) -> dict[str, str] | None:
    mapping = config.value("quant_mapping", 3)
    backend = const(config.value("quant_backend", 0))
    if isinstance(mapping, Table) and mapping.whole:
        found = {n: scheme_of(each.value, code.catalog) for n, each in mapping.entries.items()}
        here = code.libraries.components(load.pipeline)
        found = {n: s for n, s in found.items() if here is None or n in here}
        return None if None in found.values() else {n: s.id for n, s in found.items() if s}
    if isinstance(backend, str):
        kwargs = table_of(config.value("quant_kwargs", 1))
        scheme = scheme_of_kwargs(backend, kwargs, code.catalog)
        names = code.chosen(config, load)
        return dict.fromkeys(names, scheme.id) if scheme is not None and names else None
    return None


def _of_part(code: Code, part: Load) -> str | None:
    """The scheme of a component that is loaded by itself, "" for none; None: not known."""
    if part.repo.lower().endswith(".gguf"):
        return _gguf(part, code)
    if (argument := part.call.argument("quantization_config")) is not None:
        scheme = scheme_of(argument.value, code.catalog)
        return scheme.id if scheme is not None else None
    stored = _stored(part)
    name = code.component_of(part)
    return stored.get(name, "")


def _gguf(part: Load, code: Code) -> str | None:
    file = part.repo.rpartition("/")[2]
    for model in code.catalog.models.values():
        for known in model.gguf:
            for scheme, name in known.files.items():
                if name == file:
                    return scheme
    found = _QUANT.search(file)
    if found is None:
        return None
    wanted = f"gguf-{found[1].lower()}"
    names = (wanted, wanted.rpartition("_")[0])
    return next((name for name in names if name in code.catalog.schemes), None)


def _layerwise(code: Code, load: Load) -> dict[str, str]:
    found = {}
    for call in code.calls_within(load, "enable_layerwise_casting"):
        if isinstance(call.on, Part) and isinstance(call.on.of, Made):
            found[call.on.name] = LAYERWISE
    return found


DECODING = {key: (f"enable_vae_{way}", f"enable_{way}") for key, way in WAYS.items()}
"""Settings, and the methods of a pipeline or its autoencoder that stand for them."""


def _settings(code: Code, load: Load) -> dict[str, int]:
    """Width, height, steps and tokens of the call that makes the picture, where they are plain, and
    the ways of decoding that are switched on before."""
    named = {"width": "width", "height": "height", "num_inference_steps": "steps",
             "max_sequence_length": "sequence_length"}  # fmt: skip
    for call in code.pictures(load):
        given = {key: const(call.value(name)) for name, key in named.items()}
        decoded = {key: True for key, names in DECODING.items() if code.calls_within(load, *names)}
        return {key: value for key, value in given.items() if isinstance(value, int)} | decoded
    return {}
