"""A comparison, run: each plan loaded, verified, measured and set against the first.

This is the border where any error of a backend becomes a failed outcome; nothing a single plan
does ends the comparison.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from quantlab.catalog.schema import Model
from quantlab.catalog.table import Catalog, load_catalog
from quantlab.errors import QuantlabError, Stopped, first_line
from quantlab.lab.check import check
from quantlab.lab.fidelity import compare_images, is_flat, relative_l2
from quantlab.lab.libraries import resolve, torch
from quantlab.lab.load import LoadedPlan, Pool, compute_dtype
from quantlab.lab.measure import PeakMemory
from quantlab.lab.outcome import Event, Failure, Finished, Outcome, Progress
from quantlab.lab.plan import Comparison, Plan
from quantlab.lab.run import Encoded, FirstStep, Run, encode, forward, generate

__all__ = ["Bench", "Reference", "Trial", "compare", "compare_one", "image_array"]

log = logging.getLogger(__name__)
Report = Callable[[Event], None]


class Bench:
    """Runs plans of comparisons on this machine and keeps what it loaded between them."""

    def __init__(self, budget_bytes: int | None = None, catalog: Catalog | None = None) -> None:
        self.catalog = catalog or load_catalog()
        self.pool = Pool(_default_budget() if budget_bytes is None else budget_bytes, self.catalog)


class Trial:
    """One comparison under way: what its plans share."""

    def __init__(
        self,
        bench: Bench,
        comparison: Comparison,
        out: Path,
        report: Report,
        stop: threading.Event,
        repeats: int,
        warmup: int,
    ) -> None:
        self.bench, self.comparison, self.out = bench, comparison, out
        self.report, self.stop, self.repeats, self.warmup = report, stop, repeats, warmup
        self.model: Model = bench.catalog.models[comparison.model]
        self.encoded: dict[tuple[Any, ...], Encoded] = {}
        self.reference: Reference | None = None

    def outcome(self, index: int, plan: Plan) -> Outcome:
        """Run one plan; any error becomes a failed outcome."""
        stage = "check"
        try:
            if self.stop.is_set():
                raise Stopped("stopped before it started")
            check(self.comparison, plan, self.bench.catalog, self.bench.pool)
            with PeakMemory() as peak:
                stage = "load"
                loaded = self.bench.pool.load(self.model, plan, lambda t: self.say(index, t, 0))
                stage = "encode"
                encoded = self.encode(loaded)
                stage = "run"
                runs = self.runs(index, loaded, encoded)
            return self.measured(index, plan, loaded, encoded, runs, peak)
        except Stopped as error:
            return _failed(plan, "stopped", error)
        except Exception as error:  # border: whatever a backend raises is this plan's failure
            log.debug("plan %s failed", plan, exc_info=True)
            return _failed(plan, _stage(error, stage), error)

    def say(self, index: int, text: str, fraction: float) -> None:
        if self.stop.is_set():
            raise Stopped("stopped")
        self.report(Progress(index, text, fraction))

    def encode(self, loaded: LoadedPlan) -> Encoded:
        """The prompt's embeddings, made once for each distinct set of text encoders."""
        key = _encoders(loaded)
        if key not in self.encoded:
            for _ in range(min(self.warmup, 1)):
                encode(loaded.pipe, self.comparison)
            self.encoded[key] = encode(loaded.pipe, self.comparison)
        return self.encoded[key]

    def runs(self, index: int, loaded: LoadedPlan, encoded: Encoded) -> list[Run]:
        """The counted runs; those of the warm-up are thrown away."""
        steps, total = self.comparison.steps, self.warmup + self.repeats
        runs = []
        for turn in range(total):
            name = "warm-up" if turn < self.warmup else f"run {turn - self.warmup + 1}"
            label = "" if total == 1 else f"{name}, "

            def on_step(done: int, turn: int = turn, label: str = label) -> None:
                fraction = (turn * steps + done) / (total * steps)
                self.say(index, f"{label}step {done} of {steps}", fraction)

            runs.append(
                generate(loaded.pipe, self.comparison, encoded, on_step=on_step, stop=self.stop)
            )
        return runs[self.warmup :]

    def measured(
        self,
        index: int,
        plan: Plan,
        loaded: LoadedPlan,
        encoded: Encoded,
        runs: list[Run],
        peak: PeakMemory,
    ) -> Outcome:
        """Save the image and put the figures together."""
        run = runs[-1]
        path = _save(run.image, self.out / f"{index + 1}-{_slug(plan)}.png")
        pixels = image_array(run.image)
        outcome = Outcome(
            plan=str(plan),
            status="ok",
            way=loaded.way,
            image=str(path),
            weights_bytes=loaded.weights_bytes,
            peak_bytes=peak.bytes,
            peak_kind=peak.kind,
            load_s=loaded.load_s,
            latency_s=tuple(encoded.seconds + r.total_s for r in runs),
            encode_s=encoded.seconds,
            step_s=_median([r.step_s for r in runs]),
            decode_s=_median([r.decode_s for r in runs]),
            notes=_notes(run, pixels),
        )
        if index == 0:
            self.reference = Reference(pixels, run.first, _encoders(loaded))
            return outcome
        if self.reference is None:
            return outcome
        fidelity = compare_images(pixels, self.reference.pixels)
        distance = self.reference.distance(run.first, loaded, compute_dtype(plan, self.model))
        return replace(
            outcome, psnr_db=fidelity.psnr_db, ssim=fidelity.ssim, transformer_rel_l2=distance
        )


class Reference:
    """What the first plan left for the others to be held against."""

    def __init__(self, pixels: Any, first: FirstStep, encoders: tuple[Any, ...]) -> None:
        self.pixels, self.first, self.encoders = pixels, first, encoders

    def save(self, path: Path) -> None:
        """Keep it for another process of this comparison."""
        torch().save((self.pixels, self.first, self.encoders), path)

    @classmethod
    def read(cls, path: Path) -> Reference | None:
        """What ``save`` kept, or None where the first plan failed."""
        if not path.exists():
            return None
        # Written by this comparison's own first process a moment ago, hence trusted.
        return cls(*torch().load(path, weights_only=False))

    def distance(self, first: FirstStep, loaded: LoadedPlan, dtype: str) -> float:
        """Relative L2 of the transformer's output for one identical step.

        With the same text encoders the first step's inputs are identical already; else the
        transformer is run once more on the reference's inputs.
        """
        if _encoders(loaded) == self.encoders:
            output = first.output
        else:
            output = forward(loaded.pipe.transformer, self.first, resolve(dtype))
        return relative_l2(output, self.first.output)


def compare(
    comparison: Comparison,
    *,
    bench: Bench,
    out: Path,
    report: Report = lambda _: None,
    stop: threading.Event | None = None,
    repeats: int = 1,
    warmup: int = 1,
) -> list[Outcome]:
    """Run every plan in order; ``report`` hears of progress and of each outcome at once.

    Images appear under ``out`` as PNG, whole or not at all. ``repeats`` runs are counted after
    ``warmup`` that are not.
    """
    state = Trial(
        bench, comparison, out.resolve(), report, stop or threading.Event(), repeats, warmup
    )
    outcomes = []
    for index, plan in enumerate(comparison.plans):
        outcome = state.outcome(index, plan)
        outcomes.append(outcome)
        report(Finished(index, outcome))
    return outcomes


def compare_one(
    comparison: Comparison,
    index: int,
    *,
    bench: Bench,
    out: Path,
    report: Report,
    repeats: int,
    warmup: int,
    reference: Path,
) -> Outcome:
    """Run plan ``index`` alone; ``reference`` is a file that carries the first plan's results."""
    state = Trial(bench, comparison, out, report, threading.Event(), repeats, warmup)
    if index:
        state.reference = Reference.read(reference)
    outcome = state.outcome(index, comparison.plans[index])
    if index == 0 and state.reference is not None:
        state.reference.save(reference)
    return outcome


def image_array(image: Any) -> Any:
    """A PIL image as uint8 array of shape (height, width, 3)."""
    return resolve("numpy.asarray")(image.convert("RGB"))


def _encoders(loaded: LoadedPlan) -> tuple[Any, ...]:
    return tuple(key for name, key in loaded.keys.items() if name.startswith("text_encoder"))


def _failed(plan: Plan, stage: str, error: Exception) -> Outcome:
    message = str(error) if isinstance(error, QuantlabError) else first_line(error)
    failure = Failure(stage, type(error).__name__, message)
    return Outcome(plan=str(plan), status="failed", error=failure)


def _stage(error: Exception, stage: str) -> str:
    return "verify" if type(error).__name__ == "VerificationError" else stage


def _notes(run: Run, pixels: Any) -> tuple[str, ...]:
    notes = []
    if not run.finite:
        notes.append("The latents contain NaN or infinity: the image is not to be trusted.")
    if is_flat(pixels):
        notes.append("The image is flat: one colour, nothing drawn.")
    return tuple(notes)


def _save(image: Any, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    image.save(part, format="PNG")
    os.replace(part, path)
    return path


def _slug(plan: Plan) -> str:
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in str(plan))


def _median(values: list[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return (ordered[middle] + ordered[-middle - 1]) / 2


def _default_budget() -> int:
    """A quarter of this machine's memory for loaded components that wait to be used again."""
    return int(resolve("psutil.virtual_memory")().total) // 4
