"""What the machine does not have: a GPU that diffusers asks for, or enough memory."""

from __future__ import annotations

from collections.abc import Iterator

from quantlab.lab.check.code.values import Const, const
from quantlab.lab.check.fits import does_not_fit
from quantlab.lab.check.rule import Hit, rule
from quantlab.lab.check.schemes import schemes_of
from quantlab.lab.check.uses import Code

__all__ = ["no_gpu", "out_of_memory"]


@rule(
    "bitsandbytes-on-cpu",
    "error",
    why="diffusers quantizes with bitsandbytes on a CUDA, XPU or (4 bit) MPS device alone, though "
    "the library itself runs on a CPU. On a CPU take quanto, torchao int8 or SDNQ.",
    source="https://github.com/huggingface/diffusers/blob/v0.42.1/src/diffusers/quantizers/"
    "bitsandbytes/bnb_quantizer.py",
    versions={"diffusers": ">=0.31"},
    says=(r"No GPU found\. A GPU is needed for quantization",),
)
def no_gpu(code: Code) -> Iterator[Hit]:
    """bitsandbytes on a component of diffusers that is kept on a CPU."""
    for load in code.loads:
        place = load.call.argument("device_map")
        if place is None or not isinstance(place.value, Const) or const(place.value) != "cpu":
            continue
        for component, scheme in schemes_of(code, load).items():
            library = code.library_of(component, load) if component else load.cls.library
            if scheme.on_cpu == "library" and library == "diffusers":
                named = component or load.cls.name
                yield Hit(load.call.node, f"{named} is quantized by {scheme.id} on a CPU.")


@rule(
    "out-of-memory",
    "error",
    why="Ask for plans that fit the card (quantlab propose --model M --gpu CARD): fewer bits, or "
    "offload, which keeps weights in the host's memory.",
    source="https://huggingface.co/docs/diffusers/optimization/memory",
    versions={"diffusers": ">=0.30"},
    says=(r"CUDA out of memory", r"MPS backend out of memory", r"OutOfMemoryError"),
)
def out_of_memory(code: Code) -> Iterator[Hit]:
    """A plan of which the catalogue knows that it does not fit the chosen card."""
    for load in code.loads if code.gpu is not None else ():
        fits = does_not_fit(code, load)
        if fits:
            yield Hit(load.call.node, fits)
