"""Steps in an order that undoes them: LoRAs, a second quantization, weights never frozen."""

from __future__ import annotations

from collections.abc import Iterator

from quantlab.lab.check.code.values import Call, Part
from quantlab.lab.check.mend import drop
from quantlab.lab.check.rule import Hit, rule
from quantlab.lab.check.schemes import schemes_of
from quantlab.lab.check.uses import Code

__all__ = ["lora_on_quantized", "not_frozen", "quantized_again", "stored_quantized"]

QUANTIZE = ("optimum.quanto.quantize",)
FREEZE = ("optimum.quanto.freeze",)
QUANTO = "https://github.com/huggingface/optimum-quanto/blob/e33f8202/README.md"


@rule(
    "lora-on-quantized",
    "warning",
    why="Load it on the plain pipeline, fuse it (fuse_lora, unload_lora_weights), and quantize "
    "what that gives.",
    source="https://github.com/huggingface/optimum-quanto/issues/343",
    versions={"diffusers": ">=0.32"},
    says=(r"KeyError: '[\w.]*proj_out\.weight'",),
)
def lora_on_quantized(code: Code) -> Iterator[Hit]:
    """A LoRA on a scheme of which it is not known to work."""
    for load in code.loads:
        held = schemes_of(code, load)
        for call in code.calls_on(load, "load_lora_weights"):
            for component, scheme in held.items():
                if component.startswith("text_encoder") or scheme.id == "layerwise-fp8":
                    continue
                rule = scheme.lora
                if rule is None or rule.way == "before":
                    known = "is not known to work" if rule is None else "does not work"
                    said = f"A LoRA on {scheme.id} ({component}) {known}."
                    yield Hit(call.node, said)


@rule(
    "stored-quantized",
    "silent",
    why="Weights that are stored quantized keep the config they were stored with; another one is "
    "not applied.",
    source="https://github.com/huggingface/diffusers/blob/v0.42.1/src/diffusers/quantizers/auto.py",
    versions={"diffusers": ">=0.31", "transformers": ">=4.40"},
    says=(r"already has a `quantization_config` attribute",),
)
def stored_quantized(code: Code) -> Iterator[Hit]:
    """A config for a repository whose weights are stored quantized."""
    for load in code.loads:
        argument = load.call.argument("quantization_config")
        stored = load.model is not None and any(
            each.repo.lower() == load.repo.lower() for each in load.model.prequantized
        )
        if argument is not None and stored:
            node = argument.named if argument.named is not None else argument.node
            yield Hit(node, f"{load.repo} is stored quantized.", (drop(load.call, argument),))


@rule(
    "quantized-twice",
    "error",
    why="A quantized weight is no plain tensor that could be quantized again.",
    source="https://github.com/OpenCharAI/OpenChar/issues/53",
    versions={"torchao": ">=0.15", "optimum-quanto": ">=0.2"},
    says=(r"dispatch: attempting to run unimplemented operator",),
)
def quantized_again(code: Code) -> Iterator[Hit]:
    """``quantize_`` or ``quantize`` on a component that a config has quantized."""
    for call in _quantizing(code):
        target = call.args[0].value if call.args else None
        load = code.load_of(target) if target is not None else None
        if load is None:
            continue
        part = target.name if isinstance(target, Part) else ""
        scheme = schemes_of(code, load).get(part)
        if scheme is not None:
            name = part or load.cls.name
            yield Hit(call.node, f"{name} is quantized by {scheme.id} and then once more.")


@rule(
    "not-frozen",
    "warning",
    why="quanto's quantize only prepares; the weights stay as large as they were until freeze.",
    source=QUANTO,
    versions={"optimum-quanto": ">=0.2"},
)
def not_frozen(code: Code) -> Iterator[Hit]:
    """quanto's ``quantize`` without ``freeze``."""
    if any(call.path in FREEZE for call in code.program.calls):
        return
    for call in code.program.calls:
        target = call.args[0].value if call.args and call.path in QUANTIZE else None
        later = call.argument("activations", 2) is not None  # is calibrated first
        if target is not None and not later and code.load_of(target) is not None:
            yield Hit(call.node, "quantize is not followed by freeze.")


def _quantizing(code: Code) -> Iterator[Call]:
    known = (*QUANTIZE, "torchao.quantization.quantize_", "?.quantize_")
    return (call for call in code.program.calls if call.path in known)
