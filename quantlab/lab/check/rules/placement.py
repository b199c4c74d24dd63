"""Where weights are put, and what does not go together there."""

from __future__ import annotations

from collections.abc import Iterator

from quantlab.lab.check.code.values import Call, Made, Part, Ref, Table, Value, const
from quantlab.lab.check.finding import Edit
from quantlab.lab.check.mend import add_argument, drop_statement, replace
from quantlab.lab.check.rule import Hit, rule
from quantlab.lab.check.schemes import schemes_of
from quantlab.lab.check.uses import Code

__all__ = ["blocks_wanted", "group_offload", "mapped", "mapped_and_moved", "moved", "sequential"]

OFFLOAD = "https://huggingface.co/docs/diffusers/optimization/memory"
SOURCE = (
    "https://github.com/huggingface/diffusers/blob/v0.42.1/src/diffusers/pipelines/"
    "pipeline_utils.py"
)
MODEL, SEQUENTIAL = "enable_model_cpu_offload", "enable_sequential_cpu_offload"
GROUP = ("enable_group_offload",)
UNSUPPORTED = ("auto", "sequential", "balanced_low_0")


@rule(
    "device-map-on-pipeline",
    "error",
    why='Pipelines take "balanced", one device such as "cuda", or "cpu"; "auto" and dictionaries '
    "are for single models.",
    source=SOURCE,
    versions={"diffusers": ">=0.30"},
    says=(
        r"\S+ not supported. Supported strategies are: balanced",
        r"`device_map` must be a string",
    ),
)
def mapped(code: Code) -> Iterator[Hit]:
    """``device_map="auto"`` on a pipeline."""
    for load in code.loads:
        argument = load.call.argument("device_map")
        if argument is None or not load.is_pipeline:
            continue
        text = const(argument.value)
        if isinstance(argument.value, Table):
            yield Hit(argument.node, "device_map is a dictionary: a ValueError.")
        elif text in UNSUPPORTED:
            said = f'device_map="{text}" stops with a NotImplementedError.'
            yield Hit(argument.node, said, (replace(argument.node, '"balanced"'),))


@rule(
    "mapped-and-moved",
    "error",
    why="A pipeline that device_map has spread over devices can be neither moved nor offloaded.",
    source=SOURCE,
    versions={"diffusers": ">=0.30"},
    says=(r"you have activated a device mapping strategy on the pipeline",),
)
def mapped_and_moved(code: Code) -> Iterator[Hit]:
    """``device_map="balanced"`` with ``.to`` or an offload."""
    for load in code.loads:
        if load.is_pipeline and const(load.call.value("device_map")) == "balanced":
            for call in code.calls_on(load, "to", "cuda", MODEL, SEQUENTIAL):
                yield _whole(code, call, f".{call.method} after device_map is refused.")


@rule(
    "moved-and-offloaded",
    "warning",
    why="Model offload brings each component to the GPU by itself; moving the whole pipeline there "
    "takes the memory that it is to save.",
    source=OFFLOAD,
    versions={"diffusers": ">=0.20"},
    says=(r"you have activated model offloading by calling `enable_model_cpu_offload`",),
)
def moved(code: Code) -> Iterator[Hit]:
    """``.to("cuda")`` beside ``enable_model_cpu_offload``."""
    for load in code.loads:
        offloads = code.calls_on(load, MODEL)
        for call in code.calls_on(load, "to", "cuda"):
            if _to_gpu(call) and any(call.meets(other) for other in offloads):
                yield _whole(code, call, "The pipeline is moved to the GPU and offloaded.")


@rule(
    "sequential-offload-moved",
    "error",
    why="Sequential offload keeps the weights on the CPU and refuses to move the pipeline.",
    source=OFFLOAD,
    versions={"diffusers": ">=0.20"},
    says=(r"you have activated sequential model offloading by calling",),
)
def moved_sequentially(code: Code) -> Iterator[Hit]:
    """``.to("cuda")`` after ``enable_sequential_cpu_offload``."""
    for load in code.loads:
        offloads = code.calls_on(load, SEQUENTIAL)
        for call in code.calls_on(load, "to", "cuda"):
            later = [each for each in offloads if each.meets(call) and _before(code, each, call)]
            if _to_gpu(call) and later:
                yield _whole(code, call, "The pipeline is moved after sequential offload.")


@rule(
    "sequential-offload-quantized",
    "error",
    why="Sequential offload takes tensors apart that torchao's and quanto's weights hold together; "
    "model offload works.",
    source="https://github.com/huggingface/diffusers/issues/10470",
    versions={"diffusers": ">=0.32"},
)
def sequential(code: Code) -> Iterator[Hit]:
    """Sequential offload of a pipeline with weights of torchao or quanto."""
    for load in code.loads:
        held = {scheme.method for scheme in schemes_of(code, load).values()}
        for call in code.calls_on(load, SEQUENTIAL):
            for method in sorted(held & {"torchao", "quanto"}):
                edit = _renamed(call, MODEL)
                yield Hit(call.node, f"{SEQUENTIAL} with weights of {method}.", (edit,))


@rule(
    "group-offload-quantized",
    "error",
    why="Group offload moves the inner tensors of some libraries' weights and not of others; the "
    "catalogue says which.",
    source="https://github.com/huggingface/diffusers/issues/12610",
    versions={"diffusers": ">=0.34"},
)
def group_offload(code: Code) -> Iterator[Hit]:
    """Group offload of weights that do not survive it."""
    for load in code.loads:
        for call in code.calls_within(load, *GROUP):
            part = call.on.name if isinstance(call.on, Part) else None
            for component, scheme in schemes_of(code, load).items():
                if part not in (None, component):
                    continue
                rule = code.catalog.offload_of(scheme)
                if rule.group == "no":
                    said = f"Group offload with {scheme.id} on {component}: {rule.note}."
                    yield Hit(call.node, said)
                elif not rule.streams and const(call.value("use_stream")) is True:
                    said = f"use_stream with {scheme.id} on {component}: {rule.note}."
                    argument = call.kwargs["use_stream"]
                    yield Hit(call.node, said, (replace(argument.node, "False"),))


@rule(
    "group-offload-blocks",
    "error",
    why='Group offload goes by blocks unless offload_type is "leaf_level", and then needs to know '
    "how many belong together.",
    source=OFFLOAD,
    versions={"diffusers": ">=0.33"},
    says=(r"`num_blocks_per_group` must be provided when using `offload_type='block_level'",),
)
def blocks_wanted(code: Code) -> Iterator[Hit]:
    """``enable_group_offload`` without ``num_blocks_per_group``."""
    for call in code.program.calls:
        kind = call.value("offload_type", 2)
        by_block = kind is None or const(kind) == "block_level"
        missing = not call.more and call.argument("num_blocks_per_group", 3) is None
        if call.method in GROUP and by_block and missing:
            edit = add_argument(call, "num_blocks_per_group=1")
            yield Hit(call.node, "num_blocks_per_group is missing: a ValueError.", (edit,))


def _whole(code: Code, call: Call, said: str) -> Hit:
    """A call that is best left out, where it is a statement or follows what was loaded."""
    return Hit(call.node, said, (drop_statement(code.program.tree, call.node) or _chained(call),))


def _chained(call: Call) -> Edit | None:
    """``x.to("cuda")`` within an expression becomes ``x``."""
    inner = getattr(call.node.func, "value", None)
    if inner is None or inner.end_lineno is None or inner.end_col_offset is None:
        return None
    end = (call.node.end_lineno or 0, call.node.end_col_offset or 0)
    return Edit((inner.end_lineno, inner.end_col_offset), end, "")


def _renamed(call: Call, name: str) -> Edit | None:
    function = call.node.func
    end = (function.end_lineno or 0, function.end_col_offset or 0)
    return Edit((end[0], end[1] - len(call.method.encode())), end, name)


def _before(code: Code, first: Call, second: Call) -> bool:
    return code.first(first) < code.first(second)


def _to_gpu(call: Call) -> bool:
    if call.method == "cuda":
        return True
    return device_of(call.value("device", 0)).startswith("cuda")


def device_of(value: Value | None) -> str:
    """The device that a value names, "" where it is not plain."""
    if isinstance(value, Made) and value.call.path == "torch.device" and value.call.args:
        value = value.call.args[0].value
    text = const(value)
    return text if isinstance(text, str) else ""


def is_dtype(value: Value | None) -> bool:
    """Whether a value is a dtype of torch."""
    return isinstance(value, Ref) and value.path in DTYPES


DTYPES = {f"torch.{name}" for name in ("float16", "half", "bfloat16", "float32", "float")}
