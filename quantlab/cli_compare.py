"""The compare command: runs, tells of progress on stderr, prints the table or JSON document."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from quantlab.errors import StoreError
from quantlab.lab.outcome import Event, Finished, Outcome, Progress
from quantlab.lab.plan import Comparison
from quantlab.record.documents import comparison_document
from quantlab.record.keeping import keep
from quantlab.record.store import Store

__all__ = ["run"]

MIB = 2**20


def run(
    comparison: Comparison, *, out: Path, repeats: int, warmup: int, isolate: bool, as_json: bool
) -> None:
    """Run ``comparison``, keep its outcomes in the store, and print them."""
    from quantlab.lab.compare import Bench, compare
    from quantlab.lab.isolate import compare_isolated
    from quantlab.lab.libraries import device_info, versions

    device, installed = device_info(), versions()
    keep = _Keeper(comparison, device, installed)
    tell = _Teller(comparison)

    def say(event: Event) -> None:
        tell(event)
        keep(event)

    if isolate:
        outcomes = compare_isolated(comparison, out=out, report=say, repeats=repeats, warmup=warmup)
    else:
        outcomes = compare(
            comparison, bench=Bench(), out=out, report=say, repeats=repeats, warmup=warmup
        )
    if not as_json:
        _table(outcomes)
        return
    json.dump(comparison_document(comparison, device, installed, outcomes), sys.stdout, indent=2)
    sys.stdout.write("\n")


class _Keeper:
    """Keeps outcomes in the store as they come; where that fails, says so once and goes on."""

    def __init__(
        self, comparison: Comparison, device: Mapping[str, Any], versions: Mapping[str, Any]
    ) -> None:
        self._comparison, self._machine = comparison, (device, versions)
        self._store: Store | None = None
        try:
            self._store = Store()
        except StoreError as error:
            self._give_up(str(error))

    def __call__(self, event: Event) -> None:
        if isinstance(event, Finished):
            kept = keep(self._store, self._comparison, event, lambda: self._machine)
            if kept.problem:
                self._give_up(kept.problem)

    def _give_up(self, problem: str) -> None:
        self._store = None
        print(f"quantlab: results are not kept: {problem}", file=sys.stderr)


class _Teller:
    """Progress on stderr: one line a plan, rewritten in place where that is a terminal."""

    def __init__(self, comparison: Comparison) -> None:
        self._names = [str(plan) for plan in comparison.plans]
        self._live = sys.stderr.isatty()

    def __call__(self, event: Event) -> None:
        name = f"[{event.index + 1}/{len(self._names)}] {self._names[event.index]}"
        if isinstance(event, Progress):
            if self._live:
                print(f"\r\033[K{name}: {event.text}", end="", file=sys.stderr, flush=True)
            return
        start = "\r\033[K" if self._live else ""
        print(f"{start}{name}: {_state(event)}", file=sys.stderr, flush=True)


def _state(event: Finished) -> str:
    error = event.outcome.error
    return "done" if error is None else f"failed at {error.stage}: {error.message}"


def _table(outcomes: Sequence[Outcome]) -> None:
    head = ("plan", "weights MiB", "peak MiB", "latency s", "step s", "PSNR dB", "SSIM", "rel L2")
    print(("{:32}" + "{:>12}" * 7).format(*head))
    for o in outcomes:
        if o.error is not None:
            print(f"{o.plan:32}  failed at {o.error.stage}: {o.error.message}")
            continue
        latency = sorted(o.latency_s)[len(o.latency_s) // 2]
        figures = (
            f"{sum(o.weights_bytes.values()) / MIB:.1f}",
            f"{(o.peak_bytes or 0) / MIB:.0f}",
            f"{latency:.3f}",
            f"{o.step_s:.4f}",
            "-" if o.psnr_db is None else f"{o.psnr_db:.1f}",
            "-" if o.ssim is None else f"{o.ssim:.4f}",
            "-" if o.transformer_rel_l2 is None else f"{o.transformer_rel_l2:.4f}",
        )
        print(f"{o.plan:32}" + "".join(f"{figure:>12}" for figure in figures))
