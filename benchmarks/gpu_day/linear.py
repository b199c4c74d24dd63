"""One Linear layer of FLUX's size, 3072 to 12288 on 4608 tokens: every call, eager and compiled.

What a compiler makes of a scheme's product shows here in seconds, where a whole model takes minutes
to show nothing. An item with "+plain" is compiled without inductor's patterns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from benchmarks.gpu_day.book import Book
from benchmarks.gpu_day.clocks import each
from quantlab.catalog.table import load_catalog
from quantlab.lab.device import this_device
from quantlab.lab.libraries import load, torch
from quantlab.lab.specs import build

__all__ = ["items", "prepared"]

WIDTHS, TOKENS = {"full": (3072, 12288), "mini": (64, 128)}, {"full": 4608, "mini": 32}
CALLS = 6
INT8 = ("torchao-int8wo", "torchao-int8wo+plain")
OTHERS = ("torchao-int8dq", "torchao-fp8wo", "torchao-fp8dq")


def items(scale: str) -> tuple[str, ...]:
    """Schemes that torchao's ``quantize_`` makes of a plain layer."""
    return ("bf16", *INT8, *(OTHERS if scale == "full" else ()))


@contextmanager
def prepared(book: Book, scale: str) -> Iterator[Callable[[str], None]]:
    """Yields what measures one item."""
    t = torch()
    widths, where = WIDTHS[scale], this_device().target

    def work(item: str) -> None:
        scheme, _, more = item.partition("+")
        kind: dict[str, Any] = {"device": where, "dtype": t.bfloat16}
        layer = t.nn.Sequential(t.nn.Linear(*widths, **kind)).eval()
        if scheme != "bf16":
            spec = load_catalog().schemes[scheme].diffusers
            assert spec is not None
            load("torchao.quantization").quantize_(layer, build(spec.args["quant_type"], ""))
        given = t.randn(TOKENS[scale], widths[0], **kind)
        patterns = not more
        with t.no_grad(), load("torch._inductor.config").patch(pattern_matcher=patterns):
            for mode, called in (("eager", layer), ("compiled", t.compile(layer, fullgraph=True))):
                seconds = each(partial(called, given), CALLS, most_s=20)
                book.add("linear", scheme=scheme, mode=mode, patterns=patterns, all_s=seconds)
        t.compiler.reset()

    yield work
