"""A quantization config that ``from_pretrained`` is given: the library quantizes while it loads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from quantlab.catalog.schema import HARDWARE
from quantlab.lab.libraries import resolve, torch
from quantlab.lab.load.keys import DTYPES
from quantlab.lab.load.part import Loaded, Part
from quantlab.lab.load.way import Way
from quantlab.lab.script.script import Script
from quantlab.lab.specs import build, render
from quantlab.lab.ways.cast import cast_component

__all__ = ["WAY", "quantizes_on"]


class _Config(Way):
    def load(self, part: Part) -> Loaded:
        where = quantizes_on(part)
        more = {} if where is None else {"device_map": where}
        own = _own(part)
        with _seeded(part):
            module = part.files().read(own, build(part.spec, own.dtype), **more)
        if own.dtype != part.dtype:
            cast_component(module, resolve(own.dtype), resolve(part.dtype))
        return Loaded(module, part.files().how(part))

    def write(self, part: Part, script: Script) -> None:
        own = _own(part)
        expression, modules = render(part.spec, own.dtype)
        script.modules |= modules
        if own.dtype != part.dtype:
            script.embed(cast_component)
            name = part.component.name
            script.after.append(f"cast_component(pipe.{name}, {own.dtype}, {part.dtype})")
        if part.known.draws:
            script.before.append("torch.manual_seed(0)  # its quantizer draws random numbers")
        if part.lora is not None:
            script.fuse(own, expression, quantizes_on(part))
        elif part.known.draws or own.dtype != part.dtype or part.component.is_plain_file:
            script.component(own, expression, quantizes_on(part))
        else:
            script.quantizes_on = script.quantizes_on or quantizes_on(part)
            script.mapping[part.component.name] = expression


def _own(part: Part) -> Part:
    """``part`` in the dtype in which its library quantizes."""
    known = part.known.computes_in
    return replace(part, dtype=DTYPES[known]) if known else part


@contextmanager
def _seeded(part: Part) -> Iterator[None]:
    """What the quantizer of a scheme draws is the same each time, and nobody else notices."""
    if not part.known.draws:
        yield
        return
    random = torch().random
    with random.fork_rng():
        random.manual_seed(0)
        yield


def quantizes_on(part: Part) -> str | None:
    """The device on which a config quantizes while it loads, or None for host memory.

    A GPU is several times faster at it. With group offload the component may not fit there, so
    that only schemes whose kernels are on the GPU alone are quantized there.
    """
    if part.device not in ("cuda", "xpu") or part.scheme is None:
        return None
    bound = any(text.partition(">=")[0] in HARDWARE for text in part.scheme.requires)
    return part.device if bound or part.placement in ("resident", "model-offload") else None


WAY = _Config()
