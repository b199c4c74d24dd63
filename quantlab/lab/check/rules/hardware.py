"""What a card must have, and what is slow on it: from the catalogue's own cells."""

from __future__ import annotations

from collections.abc import Iterator

from quantlab.catalog.answer.traps import traps_of
from quantlab.catalog.schema import Scheme
from quantlab.lab.check.plan import compiled
from quantlab.lab.check.rule import Hit, rule
from quantlab.lab.check.schemes import schemes_of
from quantlab.lab.check.uses import Code, Load

__all__ = ["card_lacks", "eager_slow", "kept_layers", "needs_package", "trap"]

CATALOGUE = "https://huggingface.co/docs/diffusers/quantization/overview"


def _held(code: Code) -> Iterator[tuple[Load, str, Scheme]]:
    """Every scheme that something loaded holds, once a scheme."""
    seen = set()
    for load in sorted(code.loads, key=lambda each: not each.is_pipeline):
        for component, scheme in schemes_of(code, load).items():
            if scheme.id not in seen:
                seen.add(scheme.id)
                yield load, component, scheme


@rule(
    "card-lacks",
    "error",
    why="The catalogue's cell for this hardware says no.",
    source="https://github.com/pytorch/ao/blob/v0.18.0/torchao/float8/inference.py",
    versions={"torchao": ">=0.15", "diffusers": ">=0.34"},
    says=(
        r"Float8 dynamic quantization requires CUDA compute capability",
        r"torch\._scaled_mm is only supported on CUDA devices with compute capability",
    ),
)
def card_lacks(code: Code) -> Iterator[Hit]:
    """A scheme that the chosen card cannot run; without a card what it must have."""
    for load, component, scheme in _held(code):
        method = code.catalog.methods[scheme.method]
        kind = code.gpu.kind if code.gpu is not None else "cuda"
        column = f"diffusers-{kind}" if load.cls.library == "diffusers" else kind
        cell = method.cell(column, scheme)
        named = f"{scheme.id} on {component}" if component else scheme.id
        if code.gpu is None:
            if cell.capability:
                said = f"{named} needs compute capability {cell.capability[0]}."
                yield Hit(load.call.node, said, severity="note")
            continue
        mine = code.gpu.capability or code.gpu.arch
        if cell.on_card(mine or "") == "no":
            has = f", which has {mine}" if cell.capability and mine else ""
            yield Hit(load.call.node, f"{named} does not run on {code.gpu.name}{has}.")


@rule(
    "needs-package",
    "warning",
    why="Its kernels come in a package that the library does not bring along.",
    source="https://github.com/pytorch/ao/tree/v0.18.0/torchao/quantization/quantize_/workflows/int4",
    versions={"torchao": ">=0.15"},
    says=(r"Requires mslk >= 1\.0\.0",),
)
def needs_package(code: Code) -> Iterator[Hit]:
    """A scheme that needs a package beyond its library: int4 weight-only of torchao."""
    for load, component, scheme in _held(code):
        wanted = [each for each in scheme.requires if ">=" in each and not each.startswith("cuda>")]
        for package in wanted:
            named = f"{scheme.id} on {component}" if component else scheme.id
            said = f"{named} needs {package} (pip install {package.partition('>')[0]})."
            yield Hit(load.call.node, said)


@rule(
    "eager-slow",
    "warning",
    why="Compile the denoiser with compile_repeated_blocks, or take another scheme.",
    source="https://github.com/sayakpaul/diffusers-torchao/blob/9b9f2383/README.md",
    versions={"torchao": ">=0.15", "optimum-quanto": ">=0.2"},
)
def eager_slow(code: Code) -> Iterator[Hit]:
    """A scheme that nobody would wait for unless it is compiled."""
    for load, _, scheme in _held(code):
        if scheme.eager is not None and not compiled(code, load):
            yield Hit(load.call.node, scheme.eager.warning)


@rule(
    "slower-than-bf16",
    "note",
    why="It saves memory, not time.",
    source="https://huggingface.co/datasets/derekl35/diffusers-quantization-benchmarks",
    versions={"bitsandbytes": ">=0.43", "gguf": ">=0.10"},
)
def trap(code: Code) -> Iterator[Hit]:
    """What people run into with a scheme on such hardware, from the catalogue."""
    for load, _, scheme in _held(code):
        method = code.catalog.methods[scheme.method]
        kind = code.gpu.kind if code.gpu is not None else "cuda"
        for each in traps_of(method, scheme, kind, code.gpu):
            if not each.builds and not (each.eager and compiled(code, load)):
                yield Hit(load.call.node, f"{scheme.id}: {each.about}.")


@rule(
    "t5-wo",
    "note",
    why="transformers keeps these layers of T5 out of quantization and in fp32, because they "
    "overflow in fp16; the encoder takes more memory than its bits say.",
    source="https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/t5/"
    "modeling_t5.py",
    versions={"transformers": ">=4.26"},
)
def kept_layers(code: Code) -> Iterator[Hit]:
    """A T5 encoder of which a scheme leaves the ``wo`` layers alone."""
    for load in code.loads:
        for component, scheme in schemes_of(code, load).items():
            part = load.model.component(component) if load.model and component else None
            cls = part.cls if part is not None else "" if component else load.cls.name
            if cls == "T5EncoderModel" and scheme.skip.get(cls):
                kept = ", ".join(scheme.skip[cls])
                yield Hit(load.call.node, f"{scheme.id} leaves {kept} of {cls} unquantized.")
