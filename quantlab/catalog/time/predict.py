"""The time of one call with its interval, or the reason why there is none.

Evidence is never mixed: what was measured with the same settings on the card is returned as
measured; everything else is predicted, and says so where a measured run of the card scales it.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from typing import NamedTuple

from quantlab.catalog.time.constants import Constants, load_constants
from quantlab.catalog.time.form import (
    Chip,
    chip_of,
    decode_seconds,
    encode_seconds,
    floor_seconds,
    move_seconds,
    parts,
    pass_seconds,
)
from quantlab.catalog.time.measured import NONE, Measured
from quantlab.catalog.time.reasons import against, against_placement, reason_against
from quantlab.catalog.time.texts import Basis, Reason
from quantlab.catalog.time.values import (
    Card,
    Denoiser,
    Encoder,
    Mode,
    Placement,
    Run,
    Seconds,
    Work,
)
from quantlab.errors import InputError

__all__ = ["Clock", "Course", "measured_seconds", "predict"]


def predict(
    work: Work,
    card: Card,
    run: Run,
    *,
    measured: Measured = NONE,
    constants: Constants | None = None,
) -> Seconds | Reason:
    """Seconds of one call, warm; ``measured`` are runs on this very card.

    Raises:
        InputError: ``run.timing`` or an encoder's is no class, or a count of ``work`` is below 1.
    """
    return Clock(card, measured=measured, constants=constants).seconds(work, run)


class _Drawn(NamedTuple):
    """What neither the text encoders nor the placement change: seconds, the least that they can
    be, and measured over predicted where runs of the card tell."""

    steps: float
    decode: float
    floor: float
    scale: float | None


class Clock:
    """Times on one card, of many runs: what they share is counted once. ``measured`` are runs on
    this very card."""

    def __init__(
        self, card: Card, *, measured: Measured = NONE, constants: Constants | None = None
    ) -> None:
        self.card, self.chip, self.measured = card, chip_of(card), measured
        self.constants = constants or load_constants()
        self._drawn: dict[tuple[object, ...], _Drawn] = {}
        self._encoded: dict[tuple[Encoder, str], float] = {}
        self._spreads: dict[tuple[Basis, ...], float] = {}

    def seconds(self, work: Work, run: Run) -> Seconds | Reason:
        """Seconds of one call, warm.

        Raises:
            InputError: as ``predict``.
        """
        found = self.course(work, run)
        if (same := measured_seconds(work, run, self.measured)) is not None:
            return same
        return found.seconds(run.placement, run.moved_bytes, waits=run.host_memory_suffices)

    def course(self, work: Work, run: Run) -> Course:
        """The run, of which the placement is still to be said.

        Raises:
            InputError: as ``predict``.
        """
        _check(work, run, self.constants)
        return Course(self, work, run)

    def drawn(self, work: Work, denoiser: Denoiser, chip: Chip, run: Run) -> _Drawn:
        """The part of the denoiser and the decoder."""
        pixels = (work.decoded_pixels, work.encoded_pixels)
        tokens = (work.image_tokens, work.text_tokens, work.reference_tokens)
        count = (work.steps, work.passes, work.batch)
        key = (run.timing, run.mode, run.dtype, denoiser, *tokens, *count, *pixels)
        if key not in self._drawn:
            general = self.constants.general
            cost = self.constants.classes[run.timing].costs[run.mode]
            one = pass_seconds(work, denoiser, chip, run, cost, general)
            self._drawn[key] = _Drawn(
                steps=one * work.passes * work.steps,
                decode=decode_seconds(work, chip, run.dtype, general),
                floor=floor_seconds(work, denoiser, chip, cost),
                scale=_scale(self.card, run, self.measured, self.constants),
            )
        return self._drawn[key]

    def encoded(self, encoder: Encoder, chip: Chip, dtype: str) -> float:
        """Seconds of a text encoder."""
        key = (encoder, dtype)
        if key not in self._encoded:
            self._encoded[key] = encode_seconds(encoder, chip, dtype, self.constants)
        return self._encoded[key]

    def spread(self, basis: tuple[Basis, ...]) -> float:
        """The factor between mid and either end."""
        if basis not in self._spreads:
            self._spreads[basis] = _spread(basis, self.constants)
        return self._spreads[basis]


class Course:
    """One run on a card, wherever its weights are kept: all that the placements share."""

    def __init__(self, clock: Clock, work: Work, run: Run) -> None:
        self._clock, self._work, self._run = clock, work, run
        chip, denoiser = clock.chip, work.denoiser
        self._reason = against(work, clock.card, chip, run, clock.constants)
        if self._reason is None:
            assert chip is not None
            assert denoiser is not None
            self._chip = chip
            self._drawn = clock.drawn(work, denoiser, chip, run)
            encode = sum(clock.encoded(one, chip, run.dtype) for one in work.encoders)
            self._still = self._drawn.steps + encode + self._drawn.decode

    @cached_property
    def _basis(self) -> tuple[Basis, ...]:
        """What a time rests on, but for moving weights."""
        basis = _basis(self._clock.card, self._work, self._run, self._clock.constants)
        return basis if self._drawn.scale is None else (Basis.SCALED, *basis)

    def seconds(
        self, placement: Placement, moved_bytes: int = 0, *, waits: bool = True
    ) -> Seconds | Reason:
        """Its predicted time, warm, in a placement that brings ``moved_bytes`` to the card;
        ``waits`` is whether they wait in the host's memory."""
        mid = self._unbounded(placement, moved_bytes, waits=waits)
        if isinstance(mid, Reason):
            return mid
        moves = placement in (Placement.STAGED, Placement.MODEL_OFFLOAD)
        basis = (*self._basis, Basis.OFFLOAD) if moves else self._basis
        spread, floor = self._clock.spread(basis), self._drawn.floor
        low, high = max(floor, mid / spread), max(floor, mid * spread)
        return Seconds(low, max(floor, mid), high, "predicted", basis)

    def mid(
        self, placement: Placement, moved_bytes: int = 0, *, waits: bool = True
    ) -> float | None:
        """The middle of ``seconds``, or None: all that many plans are compared by."""
        mid = self._unbounded(placement, moved_bytes, waits=waits)
        return None if isinstance(mid, Reason) else max(self._drawn.floor, mid)

    def _unbounded(self, placement: Placement, moved_bytes: int, *, waits: bool) -> float | Reason:
        """Seconds, though they may be fewer than any card takes."""
        if reason := self._reason or against_placement(placement, waits=waits):
            return reason
        general, scale = self._clock.constants.general, self._drawn.scale
        move = move_seconds(self._chip, placement, moved_bytes, general)
        mid = self._still + move + general.call_s
        return mid if scale is None else mid * scale


def measured_seconds(work: Work, run: Run, measured: Measured) -> Seconds | None:
    """The seconds of exactly that run, where it was measured."""
    same = measured.seconds(work, run)
    if not same:
        return None
    return Seconds(min(same), statistics.median(same), max(same), "measured", (Basis.MEASURED,))


def _check(work: Work, run: Run, constants: Constants) -> None:
    for timing in (run.timing, *(encoder.timing for encoder in work.encoders)):
        if timing not in constants.classes:
            known = ", ".join(constants.classes)
            raise InputError("timing", f"{timing!r:.60} is no timing class; there are {known}")
    for name in ("image_tokens", "steps", "batch", "passes", "decoded_pixels"):
        if getattr(work, name) < 1:
            raise InputError(name, f"expected at least 1, found {getattr(work, name)}")


def _basis(card: Card, work: Work, run: Run, constants: Constants) -> tuple[Basis, ...]:
    """What a time rests on, but for moving weights."""
    basis = [Basis.MATMUL_MEASURED if card.matmul16_tflops else Basis.DATASHEET]
    if run.dtype == "bf16" and not card.bf16_native:
        basis.append(Basis.EMULATED_BF16)
    timed = constants.classes[run.timing].costs[run.mode].cards
    basis.append((Basis.ANALOGY, Basis.ONE_CARD)[timed] if timed < 2 else Basis.SEVERAL_CARDS)
    if not all(constants.classes[one.timing].costs for one in work.encoders):
        basis.append(Basis.ENCODER)
    return tuple(basis)


def _spread(basis: Sequence[Basis], constants: Constants) -> float:
    """The factor between mid and either end: the logarithms of its parts add as squares do."""
    spread = constants.spread
    scaled = Basis.SCALED in basis
    parts = [spread.scaled if scaled else spread.always]
    each = {
        Basis.DATASHEET: spread.datasheet,
        Basis.EMULATED_BF16: spread.emulated,
        Basis.ONE_CARD: spread.one_card,
        Basis.ANALOGY: spread.analogy,
        Basis.OFFLOAD: spread.offload,
    }
    settled = (Basis.DATASHEET, Basis.EMULATED_BF16) if scaled else ()
    parts += [factor for one, factor in each.items() if one in basis and one not in settled]
    return math.exp(math.sqrt(sum(math.log(part) ** 2 for part in parts)))


def _scale(card: Card, run: Run, measured: Measured, constants: Constants) -> float | None:
    """Measured over predicted of the runs most like ``run``: same scheme and mode, else all."""
    if not measured.runs:
        return None
    ratios = _ratios(card, measured, constants)
    every = [one for found in ratios.values() for one in found]
    alike = ratios.get((run.timing, run.mode), every)
    return math.exp(statistics.fmean(alike)) if alike else None


@lru_cache(maxsize=64)
def _ratios(
    card: Card, measured: Measured, constants: Constants
) -> Mapping[tuple[str, Mode], Sequence[float]]:
    """Logarithms of measured over predicted seconds, by timing class and mode."""
    chip, found = chip_of(card), defaultdict(list)
    for one in measured.runs:
        if chip and not reason_against(one.work, card, one.run, constants):
            told = parts(one.work, chip, one.run, constants).total
            found[one.run.timing, one.run.mode].append(math.log(one.seconds / told))
    return found
