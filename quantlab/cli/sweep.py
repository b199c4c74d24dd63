"""The command sweep: progress on stderr, the table or the JSON document on stdout."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from quantlab.catalog.own.mixes import admit_all
from quantlab.catalog.paths import own_descriptions, own_loras
from quantlab.catalog.table import Catalog
from quantlab.cli.admit import check_file, check_own_mixes, text_of
from quantlab.cli.compare import tell_beforehand
from quantlab.cli.options import settings_of
from quantlab.errors import InputError
from quantlab.record.probes import write_text
from quantlab.record.results.export import Row
from quantlab.record.store.store import Store
from quantlab.record.sweeps.place import Here, Place
from quantlab.record.sweeps.run import Step, run
from quantlab.record.sweeps.statistics import Spread, Summary
from quantlab.record.sweeps.summary import ENDINGS, summary_text
from quantlab.record.sweeps.sweep import Sweep, make_sweep, summaries
from quantlab.record.sweeps.table import MIXES, to_tidy_csv
from quantlab.words.metrics import SCORES, metric
from quantlab.words.numbers import show

__all__ = ["read_prompts", "run_sweep"]

MAX_GPUS = 64
TABLED = tuple(row for row in SCORES if row.tabled)


def run_sweep(arguments: argparse.Namespace, prompts: Sequence[str], seeds: Sequence[int]) -> None:
    """Run a sweep, or go on with it, and print its summary.

    Raises:
        InputError: an argument is wrong.
        StoreError: the store cannot take a row; what it has stays.
    """
    named, catalog = admit_all(arguments.plans, arguments.catalog)
    sweep = make_sweep(
        named,
        prompts,
        seeds,
        repeats=arguments.repeats,
        warmup=arguments.warmup,
        isolate=arguments.isolate,
        noise_floor=not arguments.no_noise_floor,
        model=arguments.model,
        catalog=catalog,
        **settings_of(arguments, swept=False),
    )
    check_own_mixes(arguments, sweep.plans)
    check_file("out", arguments.out, ".csv")
    check_file("summary", arguments.summary, *ENDINGS)
    tell_beforehand([each for lane in sweep.lanes for each in lane.comparisons], catalog)
    with _place(arguments, sweep, catalog) as place:
        rows = run(
            sweep,
            Store(),
            place,
            say=_tell_step,
            start=lambda there: _tell_start(there, sweep, place),
            stop=arguments.ending,
            retry=arguments.retry,
        )
    if arguments.ending.is_set():
        raise KeyboardInterrupt
    if arguments.out is not None:
        write_text(arguments.out, to_tidy_csv(rows))
    plans, floor = summaries(rows)
    if arguments.summary is not None:
        write_text(arguments.summary, summary_text(arguments.summary.suffix, rows, plans, floor))
    if not arguments.json:
        _sweep_table(plans, floor)
        return
    json.dump(_document(sweep, rows, plans, floor), sys.stdout, indent=2)
    sys.stdout.write("\n")


@contextlib.contextmanager
def _place(arguments: argparse.Namespace, sweep: Sweep, catalog: Catalog) -> Iterator[Place]:
    """This machine, or a Ray cluster as long as the sweep runs.

    Raises:
        InputError: an argument about Ray is wrong, or there is no Ray.
    """
    cpus, gpus = arguments.ray_cpus, arguments.ray_gpus
    for part, value in (("ray-cpus", cpus), ("ray-gpus", gpus)):
        if value is not None and arguments.ray is None:
            raise InputError(part, "needs --ray")
    if arguments.ray is not None and sweep.model in own_descriptions():
        raise InputError(
            "ray", "a model of your own is known on this machine only; leave --ray out"
        )
    if arguments.ray is not None and arguments.lora in own_loras():
        raise InputError("ray", "a LoRA of your own is known on this machine only; leave --ray out")
    if arguments.ray is None:
        from quantlab.lab.device import this_device

        yield Here(sweep, catalog, this_device())
        return
    if cpus is not None and cpus < 1:
        raise InputError("ray-cpus", f"{cpus}; at least 1 is needed")
    if gpus is not None and not 0 <= gpus <= MAX_GPUS:
        raise InputError("ray-gpus", f"{show(gpus)}; 0 to {MAX_GPUS} are allowed")
    from quantlab.record.sweeps.on_ray import OnRay, cluster

    with cluster(arguments.ray):
        yield OnRay(sweep, cpus or 1, gpus)


def _document(
    sweep: Sweep, rows: Sequence[Row], plans: Sequence[Summary], floor: Summary | None
) -> dict[str, Any]:
    machines: list[dict[str, Any]] = []
    for row in rows:
        versions = {name: version for name, version in row.versions.items() if name != MIXES}
        about = {"device": dict(row.device), "versions": versions}
        if about not in machines:
            machines.append(about)
    comparisons = sweep.lanes[0].comparisons
    settings = comparisons[0].as_dict()
    del settings["prompt"], settings["seed"]
    return {
        "comparison": settings | {"plans": [plan.plan for plan in plans]},
        "prompts": list(dict.fromkeys(c.prompt for c in comparisons)),
        "seeds": list(dict.fromkeys(c.seed for c in comparisons)),
        "repeats": sweep.repeats,
        **machines[0],
        "other_machines": machines[1:],
        "rows": len(rows),
        "missing": sweep.total - len(rows),
        "plans": [plan.as_dict() for plan in plans],
        "noise_floor": floor.as_dict() if floor else None,
    }


def read_prompts(path: Path) -> list[str]:
    """The lines of a file, without empty ones and those that start with #.

    Raises:
        InputError: the file cannot be read as text, or holds no prompt.
    """
    lines = text_of("prompts", path).splitlines()
    prompts = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not prompts:
        raise InputError("prompts", f"{path} holds no prompt; one a line is wanted")
    return prompts


def _tell_start(there: int, sweep: Sweep, place: Place) -> None:
    known = f"; {there} are in the store already" if there else ""
    at_once = f", {place.workers} at once" if place.workers > 1 else ""
    _say(f"{sweep.total} runs of {len(sweep.lanes)} plans{at_once}{known}")


def _tell_step(step: Step) -> None:
    outcome = step.row.outcome
    error = outcome.error
    state = "done" if error is None else f"failed at {error.stage}: {error.message}"
    minutes, seconds = divmod(round(step.left_s), 60)
    _say(f"[{step.done}/{step.total}] {outcome.plan}: {state}; {minutes}:{seconds:02} left")


def _sweep_table(plans: Sequence[Summary], floor: Summary | None) -> None:
    weights, peak, latency = map(metric, ("weights_bytes", "peak_bytes", "latency_s"))
    heads = [weights.head, peak.head, latency.head, "spread s", "x reference"]
    heads += [row.head for row in TABLED]
    print(f"{'plan':34}{'pairs':>6}" + "".join(f"{name:>13}" for name in heads))
    named = [(("* " if plan.pareto else "  ") + plan.plan, plan) for plan in plans]
    if floor is not None:
        named.append((f"  {floor.plan} again", floor))
    for name, plan in named:
        if plan.latency_s is None:
            print(f"{name:34}{plan.pairs:6}  failed at {plan.error}")
            continue
        figures = (
            weights.cell(plan.weights_bytes),
            peak.cell(plan.peak_bytes),
            latency.cell(plan.latency_s.median),
            latency.cell(plan.latency_s.q3 - plan.latency_s.q1),
            "-" if plan.latency_ratio is None else f"{plan.latency_ratio.median:.2f}",
            *(row.cell(_middle(plan.scores[row.key])) for row in TABLED),
        )
        print(f"{name:34}{plan.pairs:6}" + "".join(f"{figure:>13}" for figure in figures))
    print("* on the Pareto front of weights, latency and PSNR; spread is the interquartile range")


def _middle(spread: Spread | None) -> float | None:
    return None if spread is None else spread.median


def _say(text: str) -> None:
    print(f"quantlab: {text}", file=sys.stderr, flush=True)
