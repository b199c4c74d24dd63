"""What the card itself can do: matrix products, attention, memory and the bus.

Rates are medians over calls that rotate among inputs larger than the caches, on random numbers:
zeros run faster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle
from typing import Any

from benchmarks.gpu_day.book import Book
from benchmarks.gpu_day.clocks import middle
from quantlab.lab.device import this_device
from quantlab.lab.libraries import resolve, torch

__all__ = ["items", "prepared"]

SIDES = {"full": 8192, "mini": 256}
BYTES = {"full": 2**30, "mini": 2**20}
TOKENS = {"full": 4608, "mini": 64}
REPEATS = 12


def items(scale: str) -> tuple[str, ...]:  # noqa: ARG001
    """What is measured, by name."""
    return ("matmul-bf16", "matmul-fp8", "matmul-int8", "attention", "copy", "bus", "context")


@contextmanager
def prepared(book: Book, scale: str) -> Iterator[Callable[[str], None]]:
    """Yields what measures one item."""

    def work(item: str) -> None:
        kind, _, dtype = item.partition("-")
        if kind == "matmul":
            _matmul(book, dtype, SIDES[scale])
        elif kind == "attention":
            _attention(book, TOKENS[scale])
        elif kind == "copy":
            _copy(book, BYTES[scale])
        elif kind == "bus":
            _bus(book, BYTES[scale])
        else:
            _context(book)

    yield work


def _matmul(book: Book, dtype: str, side: int) -> None:
    """A square product; fp8 with one scale a tensor, int8 into int32."""
    t = torch()
    pairs = [_operands(dtype, side) for _ in range(3)]
    turn = cycle(pairs)
    one = t.ones((), device=this_device().target)

    def product() -> object:
        a, b = next(turn)
        if dtype == "bf16":
            return a @ b
        if dtype == "int8":
            return t._int_mm(a, b)
        return t._scaled_mm(a, b, one, one, out_dtype=t.bfloat16, use_fast_accum=True)

    seconds = middle(product, REPEATS)
    book.add("rate", side=side, seconds=seconds, tera_per_s=2 * side**3 / seconds / 1e12)


def _operands(dtype: str, side: int) -> tuple[Any, Any]:
    t = torch()
    shape, where = (side, side), this_device().target
    if dtype == "int8":
        whole = [t.randint(-127, 127, shape, dtype=t.int8, device=where) for _ in range(2)]
        return whole[0], whole[1].t()  # tensor cores want the second by columns
    a, b = (t.randn(shape, dtype=t.bfloat16, device=where) for _ in range(2))
    if dtype == "bf16":
        return a, b
    return a.to(t.float8_e4m3fn), b.to(t.float8_e4m3fn).t()


def _attention(book: Book, tokens: int) -> None:
    """Scaled dot product attention as a FLUX block asks for it: 24 heads of 128."""
    t = torch()
    qkv = [
        t.randn(1, 24, tokens, 128, dtype=t.bfloat16, device=this_device().target) for _ in range(3)
    ]
    attend = resolve("torch.nn.functional.scaled_dot_product_attention")
    seconds = middle(lambda: attend(*qkv), REPEATS)
    rate = 4 * tokens**2 * 24 * 128 / seconds / 1e12
    book.add("rate", tokens=tokens, seconds=seconds, tera_per_s=rate)


def _copy(book: Book, size: int) -> None:
    """Bytes read and written by copies within the device's memory."""
    t = torch()
    pairs = [[t.randn(size // 4, device=this_device().target) for _ in range(2)] for _ in range(2)]
    turn = cycle(pairs)

    def copy() -> None:
        to, source = next(turn)
        to.copy_(source)

    seconds = middle(copy, REPEATS)
    book.add("rate", bytes=size, seconds=seconds, giga_per_s=2 * size / seconds / 1e9)


def _bus(book: Book, size: int) -> None:
    """Between host and device, both ways, from pinned and from pageable memory."""
    t = torch()
    there = t.randn(size // 4, device=this_device().target)
    for pinned in (True, False):
        if pinned and this_device().target == "cpu":
            continue
        here = t.randn(size // 4, pin_memory=pinned)
        ways = {
            "to-device": lambda h=here: there.copy_(h),
            "to-host": lambda h=here: h.copy_(there),
        }
        for way, call in ways.items():
            seconds = middle(call, 5)
            rate = size / seconds / 1e9
            book.add("rate", way=way, pinned=pinned, bytes=size, seconds=seconds, giga_per_s=rate)


def _context(book: Book) -> None:
    """What this process has of the device beside torch's allocations, libraries' handles made."""
    if this_device().target != "cuda":
        return
    t = torch()
    a = t.randn(512, 512, device="cuda", dtype=t.bfloat16)
    (a @ a).sum().item()
    t.cuda.empty_cache()
    free, total = t.cuda.mem_get_info()
    book.add(
        "context",
        total_bytes=total,
        device_used_bytes=total - free,
        reserved_bytes=t.cuda.memory_reserved(),
        outside_torch_bytes=total - free - t.cuda.memory_reserved(),
    )
