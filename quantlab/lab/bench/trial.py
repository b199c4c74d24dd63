"""One comparison under way: each plan checked, loaded, run, measured and set against the first.

This is the border where any error of a backend becomes a failed outcome; nothing a single plan
does ends the comparison.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from quantlab.catalog.paths import whole_file
from quantlab.catalog.schema import Model
from quantlab.catalog.table import Catalog
from quantlab.errors import OutOfMemory, QuantlabError, Stopped, VerificationError, first_line
from quantlab.lab.bench.fidelity import compare_images, image_array, is_flat
from quantlab.lab.bench.measure import PeakMemory
from quantlab.lab.bench.noise_floor import noise_floor
from quantlab.lab.bench.others import OthersCpu
from quantlab.lab.bench.reference import Reference, encoders_of
from quantlab.lab.bench.run import Encoded, Run, encode, generate
from quantlab.lab.libraries import resolve
from quantlab.lab.load.check import check
from quantlab.lab.load.fits import instead
from quantlab.lab.load.keys import compute_dtype
from quantlab.lab.load.oom import forget, ran_out, what_was_asked
from quantlab.lab.load.pool import LoadedPlan, Pool
from quantlab.lab.lora.attach import attached, effect, fitting, fused_lora
from quantlab.words.comparison import Comparison
from quantlab.words.outcome import Event, Failure, Outcome, Progress, Stage
from quantlab.words.plan import Plan

__all__ = ["Report", "Trial"]

log = logging.getLogger(__name__)
Report = Callable[[Event], None]


@dataclass(frozen=True)
class _Taken:
    """What running a plan gave; ``runs`` begin with those of the warm-up."""

    loaded: LoadedPlan
    encoded: Encoded
    runs: Sequence[Run]
    peak: PeakMemory
    others_cpu: float | None


class Trial:
    """What the plans of one comparison share."""

    def __init__(
        self,
        pool: Pool,
        comparison: Comparison,
        out: Path,
        report: Report,
        stop: threading.Event,
        repeats: int,
        warmup: int,
    ) -> None:
        self.pool, self.catalog, self.device = pool, pool.catalog, pool.device
        self.comparison, self.out = comparison, out
        self.report, self.stop, self.repeats, self.warmup = report, stop, repeats, warmup
        self.model: Model = pool.catalog.models[comparison.model]
        self.encoded: dict[tuple[Any, ...], Encoded] = {}
        self.reference: Reference | None = None
        self._stage: Stage = "check"
        self._twin: str | None = None
        self._fitting: tuple[Path, int] | None = None  # the same for every plan

    def outcome(self, index: int, plan: Plan) -> Outcome:
        """Run one plan; any error becomes a failed outcome.

        After memory ran out everything that was loaded is let go, so that the next plan begins on
        a clean device.
        """
        try:
            with ExitStack() as off:
                return self._measured(index, plan, self._taken(index, plan, off))
        except Stopped as error:
            return _failed(plan, "stopped", error)
        except Exception as error:  # border: whatever a backend raises is this plan's failure
            log.debug("plan %s failed", plan, exc_info=True)
            stage: Stage = "verify" if isinstance(error, VerificationError) else self._stage
            if not ran_out(error):
                return _failed(plan, stage, error)
            said = what_was_asked(error)
            forget(error)
        self.pool.drop_all()
        hint = instead(self.comparison, plan, self.catalog, self.device)
        return _failed(plan, stage, OutOfMemory(f"Memory ran out: {said}. {hint}"))

    def _taken(self, index: int, plan: Plan, off: ExitStack) -> _Taken:
        """Load and run it; ``off`` takes the LoRA off again."""

        def say(text: str) -> None:
            self._say(index, text, 0)

        self._stage = "check"
        if self.stop.is_set():
            raise Stopped("stopped before it started")
        kind = check(self.comparison, plan, self.pool)
        self._stage = "load"
        lora = self.comparison.carried
        if lora is not None and self._fitting is None:  # what does not fit is told before loading
            self._fitting = fitting(lora, self.model, say)
        with PeakMemory(self.device.counters) as peak:
            fused = fused_lora(self.comparison, plan, self.catalog)
            loaded = self.pool.load(self.model, plan, say, kind, fused)
            if lora is not None and self._fitting is not None:
                loaded = off.enter_context(attached(loaded, lora, *self._fitting, say))
            peak.loaded()
            self._stage = "encode"
            encoded = self._encode(loaded)
            self._stage = "run"
            with OthersCpu() as others:
                runs = self._runs(index, loaded, encoded)
            return _Taken(loaded.told(), encoded, runs, peak, others.share)

    def _say(self, index: int, text: str, fraction: float) -> None:
        if self.stop.is_set():
            raise Stopped("stopped")
        self.report(Progress(index, text, fraction))

    def _encode(self, loaded: LoadedPlan) -> Encoded:
        """The prompt's embeddings, made once for each distinct set of text encoders."""
        key = encoders_of(loaded)
        if key not in self.encoded:
            with loaded.reading() as pipe:
                for _ in range(min(self.warmup, 1)):
                    encode(pipe, self.comparison, self.device, self.model.family)
                self.encoded[key] = encode(pipe, self.comparison, self.device, self.model.family)
        return self.encoded[key]

    def _runs(self, index: int, loaded: LoadedPlan, encoded: Encoded) -> list[Run]:
        """All runs, those of the warm-up first."""
        steps, total, family = self.comparison.steps, self.warmup + self.repeats, self.model.family
        runs = []
        for turn in range(total):
            name = "warm-up" if turn < self.warmup else f"run {turn - self.warmup + 1}"
            label = "" if total == 1 else f"{name}, "

            def on_step(done: int, turn: int = turn, label: str = label) -> None:
                fraction = (turn * steps + done) / (total * steps)
                self._say(index, f"{label}step {done} of {steps}", fraction)

            with loaded.drawing() as pipe:
                own = (pipe, self.comparison, encoded, self.device)
                runs.append(generate(*own, on_step=on_step, stop=self.stop, family=family))
            if turn == 0 and total > 1:  # to be looked at while the others are measured
                path = _save(runs[0].image, self._path(index))
                self.report(Progress(index, f"{label}drawn", 1 / total, str(path)))
        return runs

    def _path(self, index: int) -> Path:
        return self.out / f"{index + 1}-{_slug(self.comparison.plans[index])}.png"

    def _measured(self, index: int, plan: Plan, taken: _Taken) -> Outcome:
        """Save the image and put the figures together."""
        loaded, encoded, peak = taken.loaded, taken.encoded, taken.peak
        runs = taken.runs[self.warmup :]
        path = _save(runs[-1].image, self._path(index))
        pixels = image_array(runs[-1].image)
        dtype = resolve(compute_dtype(plan, self.model))
        outcome = Outcome(
            plan=str(plan),
            status="ok",
            way=loaded.way,
            image=str(path),
            weights_bytes=loaded.weights_bytes,
            peak_bytes=peak.bytes,
            peak_kind=peak.kind,
            load_s=loaded.load_s,
            latency_s=tuple(encoded.seconds + run.total_s for run in runs),
            encode_s=encoded.seconds,
            step_s=median(run.step_s for run in runs),
            decode_s=median(run.decode_s for run in runs),
            notes=(
                *effect(loaded, runs[-1].first, self.comparison.carried, dtype),
                *_notes(plan, loaded, runs[-1], pixels, self.catalog),
            ),
            placement=loaded.placement,
            load_peak_bytes=peak.load_bytes,
            run_peak_bytes=peak.run_bytes,
            reserved_bytes=peak.reserved_bytes,
            device_bytes=peak.device_bytes,
            others_cpu=taken.others_cpu,
        )
        if index == 0:
            floor = noise_floor(taken.runs, loaded, dtype)
            self.reference = Reference(
                pixels, runs[-1].first, encoders_of(loaded), plan.compiled, floor
            )
            return replace(outcome, noise_floor=floor)
        if self.reference is None:
            return outcome
        scores = {
            **compare_images(pixels, self.reference.pixels),
            "transformer_rel_l2": self.reference.distance(runs[-1].first, loaded, dtype),
        }
        scored = replace(outcome, scores=scores, noise_floor=self.reference.floor)
        return self._marked(plan, scored, self.reference)

    def _marked(self, plan: Plan, outcome: Outcome, reference: Reference) -> Outcome:
        """An outcome that says so where its score crosses the modes, eager and compiled."""
        if plan.compiled == reference.compiled:
            return outcome
        first = self.comparison.plans[0]
        mode = "compiled" if reference.compiled else "eager"
        if replace(plan, compiled=first.compiled) == first:
            said = f"Held against itself in {mode} mode: the distance is the compiler's alone."
            same = outcome.identical
            self._twin = "identical to it" if same else f"{outcome.psnr_db:.1f} dB PSNR from it"
        else:
            said = f"Held against a reference in {mode} mode: a part of the distance may be the "
            said += "compiler's, not the scheme's."
            if self._twin:
                said += f" {replace(first, compiled=plan.compiled)} alone is {self._twin}."
        return replace(outcome, across_modes=True, notes=(*outcome.notes, said))


def _failed(plan: Plan, stage: Stage, error: Exception) -> Outcome:
    message = str(error) if isinstance(error, QuantlabError) else first_line(error)
    if (
        plan.compiled
        and stage == "run"
        and isinstance(error, resolve("torch._dynamo.exc.TorchDynamoException"))
    ):
        message = f"The compiler fails on it; leave @compiled away ({message})."
    failure = Failure(stage, type(error).__name__, message)
    return Outcome(plan=str(plan), status="failed", error=failure)


def _notes(
    plan: Plan, loaded: LoadedPlan, run: Run, pixels: Any, catalog: Catalog
) -> tuple[str, ...]:
    notes = list(loaded.notes)
    if not run.finite:
        notes.append("The latents contain NaN or infinity: the image is not to be trusted.")
    if is_flat(pixels):
        notes.append("The image is flat: one colour, nothing drawn.")
    if loaded.placement != "cpu" and not plan.compiled:
        known = (catalog.schemes.get(scheme) for _, scheme in plan.parts)
        notes += [scheme.eager.warning for scheme in known if scheme and scheme.eager]
    return tuple(notes)


def _save(image: Any, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as part:
        image.save(part, format="PNG")
    return path


def _slug(plan: Plan) -> str:
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in str(plan))
