"""Rounds of the blind test: which two images are shown, and on which side the quantized one lies.

A round lives on the server. Its images are written anew from their pixels, so that neither bytes,
names nor addresses can be held against those of a comparison on the same page.
"""

from __future__ import annotations

import io
import random
import secrets
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Literal, TypeVar

from quantlab.record.gallery import Gallery
from quantlab.record.store.row import input_key
from quantlab.record.store.store import Store, Stored
from quantlab.ui.state import Shown
from quantlab.words.comparison import Comparison
from quantlab.words.outcome import Outcome
from quantlab.words.plan import DTYPE_SCHEMES, Plan

__all__ = [
    "Game",
    "Open",
    "Pair",
    "Round",
    "Side",
    "deal",
    "gallery_pairs",
    "own_pairs",
    "stored_pairs",
]

T = TypeVar("T")
Side = Literal["left", "right"]
RECENT = 200
"""How many of the newest stored results are looked at for a pair."""


@dataclass(frozen=True, eq=False)
class Pair:
    """The reference's image and a plan's, of one comparison. Images are PNG bytes."""

    comparison: Comparison
    plan: Plan
    outcome: Outcome
    reference_outcome: Outcome
    image: bytes
    reference_image: bytes
    origin: str = ""
    """Where it is from, where it was not measured by this page."""

    @property
    def key(self) -> str:
        """What a visitor has seen once: the inputs of both images."""
        return input_key(self.comparison, self.plan)


@dataclass(frozen=True, eq=False)
class Round:
    """A pair as it is shown. ``token`` counts for one guess; ``guess`` is None before it."""

    pair: Pair
    token: str
    quantized: Side
    left: bytes
    right: bytes
    guess: Side | None = None

    @property
    def told(self) -> bool:
        """Whether the guess named the quantized image."""
        return self.guess == self.quantized


@dataclass(frozen=True, eq=False)
class Game:
    """What one visitor's page holds: the round on it, and the pairs that were on it before."""

    round: Round | None = None
    seen: frozenset[str] = frozenset()


class Open:
    """Tokens of rounds that wait for their guess; each is taken once, whoever asks first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tokens: dict[str, None] = {}

    def new(self) -> str:
        """A token; of those that nobody came back for, only the newest thousands are kept."""
        token = secrets.token_hex(8)
        with self._lock:
            self._tokens[token] = None
            while len(self._tokens) > 4096:
                del self._tokens[next(iter(self._tokens))]
        return token

    def take(self, token: str) -> bool:
        """Whether ``token`` was there; it is gone afterwards."""
        with self._lock:
            return self._tokens.pop(token, self) is None


def deal(pair: Pair, opened: Open) -> Round:
    """A round of ``pair`` with its sides drawn by the system's own random source."""
    plan, reference = _plain(pair.image), _plain(pair.reference_image)
    if secrets.randbelow(2):
        return Round(pair, opened.new(), "left", plan, reference)
    return Round(pair, opened.new(), "right", reference, plan)


def own_pairs(shown: Shown) -> Iterator[Pair]:
    """Pairs of the comparison on the visitor's page, in random order."""
    comparison, reference = shown.comparison, shown.reference
    if comparison is None or reference is None or reference.png is None:
        return
    for plan in _mixed(comparison.plans[1:]):
        found = shown.get(str(plan))
        if found is not None and found.png is not None and _fits(comparison, plan, found.outcome):
            yield Pair(comparison, plan, found.outcome, reference.outcome, found.png, reference.png)


def stored_pairs(store: Store, seen: Iterable[str] = ()) -> Iterator[Pair]:
    """Pairs among the newest stored results that are not ``seen``, in random order.

    Raises:
        StoreError: the store cannot be read.
    """
    return _pairs(_mixed(store.recent(RECENT, images=False)), store, seen)


def gallery_pairs(gallery: Gallery, seen: Iterable[str] = ()) -> Iterator[Pair]:
    """Pairs of the gallery that ships that are not ``seen``: near ones and far ones by turns, in
    random order otherwise."""
    rows = [row for row in gallery.rows if row.outcome.psnr_db is not None]
    rows.sort(key=lambda row: row.outcome.psnr_db or 0.0)
    far, near = _mixed(rows[: len(rows) // 2]), _mixed(rows[len(rows) // 2 :])
    by_turns = [row for pair in zip_longest(near, far) for row in pair if row is not None]
    return _pairs(by_turns[len(set(seen)) % 2 :], gallery, seen)


def _pairs(rows: Iterable[Stored], store: Store | Gallery, seen: Iterable[str]) -> Iterator[Pair]:
    known = set(seen)
    for row in rows:
        plan = next((p for p in row.comparison.plans if str(p) == row.plan), None)
        if plan is None or not _fits(row.comparison, plan, row.outcome):
            continue
        key = input_key(row.comparison, plan)
        if key in known:
            continue
        known.add(key)
        pair = _stored_pair(store, row, plan)
        if pair is not None:
            yield pair


def _stored_pair(store: Store | Gallery, row: Stored, plan: Plan) -> Pair | None:
    comparison = replace(row.comparison, plans=(row.comparison.plans[0], plan))
    found = {each.plan: each for each in store.find(comparison)}
    reference, result = found.get(str(comparison.plans[0])), found.get(str(plan))
    if reference is None or result is None or not _fits(comparison, plan, result.outcome):
        return None
    if reference.image_png is None or result.image_png is None:
        return None
    return Pair(
        comparison,
        plan,
        result.outcome,
        reference.outcome,
        result.image_png,
        reference.image_png,
        f"Recorded for quantlab’s gallery on {result.measured_at[:10]}." if result.shipped else "",
    )


def _fits(comparison: Comparison, plan: Plan, outcome: Outcome) -> bool:
    """Whether only the plan is quantized, and its image is another one than the reference's."""
    return (
        _quantizes(plan)
        and not _quantizes(comparison.plans[0])
        and outcome.status == "ok"
        and outcome.psnr_db is not None
    )


def _quantizes(plan: Plan) -> bool:
    return any(scheme not in DTYPE_SCHEMES for _, scheme in plan.parts)


def _mixed(items: Iterable[T]) -> list[T]:
    mixed = list(items)
    random.SystemRandom().shuffle(mixed)
    return mixed


def _plain(png: bytes) -> bytes:
    """The same pixels without anything else that the file says."""
    from PIL import Image

    with Image.open(io.BytesIO(png)) as image:
        pixels = image.convert("RGB")
    file = io.BytesIO()
    Image.frombytes("RGB", pixels.size, pixels.tobytes()).save(file, format="PNG")
    return file.getvalue()
