"""Reads data/latency/constants.toml: the few numbers that were fitted, none of them for one card.

``tools.latency_fit`` writes the file; what each constant means stands here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from quantlab.catalog.paths import PROJECT
from quantlab.catalog.read.toml import Table, read_toml
from quantlab.catalog.time.texts import Reason
from quantlab.catalog.time.values import Mode

__all__ = ["Constants", "Cost", "General", "Spread", "TimingClass", "load_constants"]

FILE = Path("data") / "latency" / "constants.toml"


@dataclass(frozen=True)
class General:
    """Constants of every prediction.

    ``matmul_limited``, ``matmul_full``: what a large 16-bit product reaches of the datasheet's rate
    where no measured one is known: on chips whose fp32 accumulation runs at half the rate of the
    matrix units (GeForce, L20, L40, H20, A10G), and on the others. ``emulated_bf16``: the share
    that is left without bf16 hardware.
    ``reach_full``: what a model's layers reach of that product's rate on chips of the latter kind.
    ``softmax``: time of an exponential in attention, over that of the special function units.
    ``passes_eager``, ``passes_compiled``: how often each block reads or writes a tensor of (tokens
    x width) in 16 bit, outside of products. ``l2_saves``: the share of that traffic that the L2
    cache takes where it holds the tensor ``l2_tensors`` times; half of it where it holds just that.
    ``launch_ms_eager``, ``launch_ms_compiled``: milliseconds of the host to launch a block.
    ``decode_rate``: what convolutions of the autoencoder reach of the 16-bit rate.
    ``call_s``: seconds a call for the rest (scheduler, pre- and postprocessing).
    ``offload_gbs``: 10**9 bytes a second, one way, of weights that are not pinned.
    ``encoder_bytes``: ``Cost.bytes`` of a text encoder whose scheme has no cost.
    """

    matmul_limited: float
    matmul_full: float
    emulated_bf16: float
    reach_full: float
    softmax: float
    passes_eager: float
    passes_compiled: float
    l2_saves: float
    l2_tensors: float
    launch_ms_eager: float
    launch_ms_compiled: float
    decode_rate: float
    call_s: float
    offload_gbs: float
    encoder_bytes: float


@dataclass(frozen=True)
class Spread:
    """Parts of the interval; a mid of 10 s with 1.2 is 8.3 to 12 s. Parts multiply in quadrature.

    ``always``: two sources of one setting on one kind of card. ``datasheet``: no measured rate of
    products. ``one_card``, ``analogy``: the scheme. ``offload``: weights are moved. ``scaled``: in
    place of ``always`` where a run of this card is known.
    """

    always: float
    datasheet: float
    one_card: float
    analogy: float
    offload: float
    emulated: float
    scaled: float


@dataclass(frozen=True)
class Cost:
    """What a scheme costs beyond 16-bit weights, in one mode.

    ``bytes``: read and written a weight and pass, to unpack it. ``passes``: over each block's
    activations, to quantize them; see ``passes_eager``. ``launch_ms``: of the host, a block, where
    wrapped tensors take more than plain layers do. ``rate``: the matrix rate of its products,
    "16", "fp8" or "int8". ``slower``: factor on the time of products. ``cards``: how many kinds of
    card it was timed on; 0 where it is taken to do the same work as a scheme that was timed.
    """

    bytes: float = 0.0
    passes: float = 0.0
    launch_ms: float = 0.0
    rate: str = "16"
    slower: float = 1.0
    cards: int = 0


@dataclass(frozen=True)
class TimingClass:
    """Schemes that do the same work; ``reason``: why there are no costs at all."""

    id: str
    costs: Mapping[Mode, Cost] = field(default_factory=dict)
    reason: Reason | None = None


@dataclass(frozen=True, eq=False)
class Constants:
    """All of the file; compared by identity. ``tools``: time of other programs over that of
    diffusers, by name."""

    general: General
    spread: Spread
    tools: Mapping[str, float]
    classes: Mapping[str, TimingClass]


@lru_cache(maxsize=4)
def load_constants(folder: Path | None = None) -> Constants:
    """The constants of ``folder``/data/latency; None takes the project's own.

    Raises:
        CatalogError: the file breaks the schema; the message names file, key and what was expected.
    """
    root = folder or PROJECT
    top = read_toml(root / FILE, root)
    top.texts("about")
    general = General(**_numbers(top.table("general"), General))
    spread = Spread(**_numbers(top.table("spread"), Spread))
    for name in ("always", "datasheet", "one_card", "analogy", "offload", "emulated", "scaled"):
        if getattr(spread, name) < 1:
            raise top.fail(f"spread.{name}", "expected a factor of at least 1")
    named = top.table("tools")
    tools = {name: named.get(name, float) for name in named.names()}
    listed = top.table("classes")
    classes = {name: _class(name, listed.table(name)) for name in listed.names()}
    top.done()
    return Constants(general, spread, tools, classes)


def _numbers(table: Table, cls: type) -> dict[str, float]:
    """One positive number for each field of the dataclass ``cls``."""
    values = {one.name: table.get(one.name, float) for one in fields(cls)}
    table.done()
    for name, value in values.items():
        if value <= 0:
            raise table.fail(name, f"expected a number above 0, found {value:g}")
    return values


def _class(name: str, table: Table) -> TimingClass:
    table.text("about")
    reason = table.choice("reason", ("", *Reason), "")
    costs = {mode: _cost(table.table(mode)) for mode in Mode if table.has(mode)}
    table.done()
    if bool(costs) == bool(reason):
        raise table.fail("eager", f"expected costs in one of {', '.join(Mode)}, or else a reason")
    return TimingClass(name, costs, Reason(reason) if reason else None)


def _cost(table: Table) -> Cost:
    cards: Any = table.get("cards", int, 0)
    cost = Cost(
        bytes=table.get("bytes", float, 0.0),
        passes=table.get("passes", float, 0.0),
        launch_ms=table.get("launch_ms", float, 0.0),
        rate=table.choice("rate", ("16", "fp8", "int8"), "16"),
        slower=table.get("slower", float, 1.0),
        cards=cards,
    )
    table.done()
    return cost
