"""A sweep against the loops that it stands for.

Eight plans and four prompts at 8 steps, one run each, no warm-up, after the imports:

naive  for each prompt and plan: load, run, and hold against the reference, which is loaded and
       run with it, since the one-step error needs its transformer's output
bare   the same without the reference but for its image, which is kept: no one-step error
sweep  the same through the function of ``quantlab sweep``, store included, without the noise floor

All of PSNR, SSIM and one-step error must be equal to the last bit in naive and sweep. The ratio to
bare is bounded by what running alone takes: about 0.7 on flux-mini, which loads in 0.15 s.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image

from quantlab.catalog.comparison import make_comparison
from quantlab.catalog.table import load_catalog
from quantlab.lab.bench.compare import Bench, compare
from quantlab.lab.bench.fidelity import compare_images, image_array
from quantlab.lab.device import this_device
from quantlab.record.store.store import Store
from quantlab.record.sweeps.place import Here
from quantlab.record.sweeps.run import run
from quantlab.record.sweeps.sweep import make_sweep
from quantlab.words.outcome import Outcome

PLANS = (
    "fp32",
    "bf16",
    "bnb-nf4",
    "bnb-int8",
    "torchao-int8wo",
    "quanto-int8",
    "gguf-q4_0",
    "sdnq-int8",
)
PROMPTS = (
    "a red apple on a blue background",
    "a fox on a white background",
    "a cat face on a green background",
    "a yellow background, a car",
)
STEPS = 8
Numbers = dict[tuple[str, str], tuple[float | None, ...]]


def main() -> None:
    """Measure all three, print the table, and print the figures as the last line."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["QUANTLAB_DATA"] = folder
        out = Path(folder) / "images"
        _warm_imports(out)
        naive_s, naive_cpu_s, naive = _timed(lambda: _naive(out))
        bare_s, bare_cpu_s, _ = _timed(lambda: _bare(out))
        sweep_s, sweep_cpu_s, swept = _timed(_sweep)
    print(f"{len(PLANS)} plans x {len(PROMPTS)} prompts, {STEPS} steps")
    print(f"naive  {naive_s:7.1f} s   {naive_cpu_s:7.1f} s of processor time")
    print(f"bare   {bare_s:7.1f} s   {bare_cpu_s:7.1f} s of processor time")
    print(f"sweep  {sweep_s:7.1f} s   {sweep_cpu_s:7.1f} s of processor time")
    print("the same numbers" if naive == swept else "OTHER NUMBERS")
    figures = {
        "naive_s": naive_s,
        "bare_s": bare_s,
        "sweep_s": sweep_s,
        "sweep_over_naive": sweep_s / naive_s,
        "sweep_over_bare": sweep_s / bare_s,
        "sweep_over_naive_cpu": sweep_cpu_s / naive_cpu_s,
    }
    rounded = {key: round(value, 3) for key, value in figures.items()}
    print(json.dumps(rounded | {"same": naive == swept}))


def _warm_imports(out: Path) -> None:
    """Every library imported and every GGUF file written, for neither side to pay."""
    for plan in PLANS:
        _one([plan], PROMPTS[0], out)


def _timed(work: Callable[[], Numbers]) -> tuple[float, float, Numbers]:
    """Wall and processor seconds; the latter tell more where the machine has other work."""
    started, used = time.perf_counter(), time.process_time()
    found = work()
    return time.perf_counter() - started, time.process_time() - used, found


def _naive(out: Path) -> Numbers:
    found: Numbers = {}
    for prompt in PROMPTS:
        for plan in PLANS:
            plans = [plan] if plan == PLANS[0] else [PLANS[0], plan]
            found[prompt, plan] = _numbers(_one(plans, prompt, out))
    return found


def _bare(out: Path) -> Numbers:
    found: Numbers = {}
    for prompt in PROMPTS:
        reference = None
        for plan in PLANS:
            pixels = image_array(Image.open(_one([plan], prompt, out).image or ""))
            if reference is None:
                reference = pixels
            found[prompt, plan] = (compare_images(pixels, reference).get("psnr_db"),)
    return found


def _one(plans: Sequence[str], prompt: str, out: Path) -> Outcome:
    """The last plan's outcome; everything is loaded anew, since a fresh bench holds nothing."""
    comparison = make_comparison(plans=plans, prompt=prompt, steps=STEPS)
    outcome = compare(comparison, bench=Bench(load_catalog(), this_device()), out=out, warmup=0)[-1]
    if outcome.status != "ok":
        raise SystemExit(f"{plans[-1]}: {outcome.error}")
    return outcome


def _numbers(outcome: Outcome) -> tuple[float | None, ...]:
    return outcome.psnr_db, outcome.ssim, outcome.transformer_rel_l2


def _sweep() -> Numbers:
    sweep = make_sweep(PLANS, PROMPTS, [0], steps=STEPS, warmup=0, noise_floor=False)
    rows = run(sweep, Store(), Here(sweep, load_catalog(), this_device()))
    return {(row.comparison.prompt, row.outcome.plan): _numbers(row.outcome) for row in rows}


if __name__ == "__main__":
    main()
