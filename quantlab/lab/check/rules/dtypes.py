"""Dtypes: casts of what is quantized, layerwise casting on top of it, fp16 where it overflows."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

from quantlab.families import families
from quantlab.lab.check.code.values import Call, Part, Ref
from quantlab.lab.check.finding import Edit
from quantlab.lab.check.mend import drop, drop_statement, replace
from quantlab.lab.check.rule import Hit, rule
from quantlab.lab.check.rules.placement import is_dtype
from quantlab.lab.check.schemes import schemes_of
from quantlab.lab.check.uses import Code, Load

__all__ = ["cast_quantized", "fp16_overflows", "layerwise_on_pipeline", "layerwise_on_quantized"]

CASTS = ("half", "float", "bfloat16")
MODELING = (
    "https://github.com/huggingface/diffusers/blob/v0.42.1/src/diffusers/models/modeling_utils.py"
)
LAYERWISE = "enable_layerwise_casting"


@rule(
    "cast-quantized",
    "error",
    why="Quantized weights cannot change their dtype; the rest takes it from dtype (torch_dtype) "
    "when it is loaded.",
    source=MODELING,
    versions={"diffusers": ">=0.31"},
    says=(
        r"Casting a quantized model to a new `dtype` is unsupported",
        r"`\.(half|float|bfloat16)\(\)` is not supported for quantized model",
    ),
)
def cast_quantized(code: Code) -> Iterator[Hit]:
    """``.to(torch.float16)`` or ``.half()`` on what is quantized."""
    for load in code.loads:
        held = schemes_of(code, load)
        quantized = [name for name, scheme in held.items() if scheme.through_config]
        for call in code.calls_within(load, "to", *CASTS) if quantized else ():
            part = call.on.name if isinstance(call.on, Part) else ""
            if part and part not in quantized:
                continue
            place = next((n for n, a in enumerate(call.args) if is_dtype(a.value)), None)
            named = call.kwargs.get("dtype")
            if call.method == "to" and place is None and named is None:
                continue
            name = part or ", ".join(filter(None, quantized)) or load.cls.name
            yield Hit(
                call.node, f"{name} is quantized and then cast.", (_without(code, call, place),)
            )


def _without(code: Code, call: Call, place: int | None) -> Edit | None:
    alone = len(call.args) + len(call.kwargs) <= 1
    if alone:
        return drop_statement(code.program.tree, call.node) or _chained(call)
    argument = call.args[place] if place is not None else call.kwargs.get("dtype")
    return drop(call, argument) if argument is not None else None


def _chained(call: Call) -> Edit | None:
    inner = getattr(call.node.func, "value", None)
    if inner is None or inner.end_lineno is None or inner.end_col_offset is None:
        return None
    end = (call.node.end_lineno or 0, call.node.end_col_offset or 0)
    return Edit((inner.end_lineno, inner.end_col_offset), end, "")


@rule(
    "layerwise-on-quantized",
    "silent",
    why="Layerwise casting stores plain weights in fp8; on weights that are quantized already it "
    "changes nothing useful, and quanto refuses it.",
    source="https://huggingface.co/docs/diffusers/optimization/memory#layerwise-casting",
    versions={"diffusers": ">=0.33"},
    says=(r"The dtype of a weights Tensor cannot be changed",),
)
def layerwise_on_quantized(code: Code) -> Iterator[Hit]:
    """``enable_layerwise_casting`` on a quantized component."""
    for load in code.loads:
        held = schemes_of(code, load)
        for call in code.calls_within(load, LAYERWISE):
            part = call.on.name if isinstance(call.on, Part) else ""
            scheme = held.get(part)
            if scheme is not None and scheme.through_config:
                severity = "error" if scheme.method == "quanto" else "silent"
                said = f"{part or load.cls.name} is quantized by {scheme.id} already."
                edit = drop_statement(code.program.tree, call.node)
                yield Hit(call.node, said, (edit,), severity)  # type: ignore[arg-type]


@rule(
    "layerwise-on-pipeline",
    "error",
    why="Layerwise casting is a method of models, not of pipelines.",
    source="https://huggingface.co/docs/diffusers/optimization/memory#layerwise-casting",
    versions={"diffusers": ">=0.33"},
    says=(r"Pipeline' object has no attribute 'enable_layerwise_casting'",),
)
def layerwise_on_pipeline(code: Code) -> Iterator[Hit]:
    """``pipe.enable_layerwise_casting()``."""
    for load in code.loads:
        known = code.libraries.components(load.pipeline) or {}
        denoiser = next((n for n in ("transformer", "unet") if n in known), None)
        for call in code.calls_on(load, LAYERWISE) if load.is_pipeline else ():
            inner = getattr(call.node.func, "value", None)
            end = (inner.end_lineno, inner.end_col_offset) if inner is not None else None
            edit = Edit(end, end, f".{denoiser}") if denoiser and end is not None else None
            yield Hit(call.node, f"{load.cls.name} has no {LAYERWISE}.", (edit,))


@rule(
    "fp16-flux",
    "warning",
    why="It was trained in bf16; in fp16 its activations overflow, and the picture is black or "
    "noise.",
    source="https://github.com/huggingface/optimum-quanto/issues/231",
    versions={"diffusers": ">=0.30"},
)
def fp16_overflows(code: Code) -> Iterator[Hit]:
    """In fp16, a pipeline or a denoiser of a family that is known to overflow in it."""
    for load in code.loads:
        argument = load.call.argument("dtype") or load.call.argument("torch_dtype")
        half = argument is not None and isinstance(argument.value, Ref)
        if argument is None or not half or argument.value.path not in HALF:  # type: ignore[union-attr]
            continue
        if _overflows(load):
            edit = replace(argument.node, "torch.bfloat16")
            yield Hit(argument.node, f"{load.cls.name} is loaded in fp16.", (edit,))


HALF = ("torch.float16", "torch.half")


def _overflows(load: Load) -> bool:
    named = load.pipeline or load.cls.name
    known = (each for each in families().values() if each.in_fp16)
    ours = any(fnmatchcase(named, each.classes) for each in known)
    return ours and load.cls.library in ("diffusers", "")
