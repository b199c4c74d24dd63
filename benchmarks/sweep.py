"""A sweep against the naive loop that it stands for.

Eight plans and four prompts at 8 steps, one run each, no warm-up, after the imports:

naive  for each prompt and plan: load the whole pipeline, encode, run
sweep  the same through ``quantlab sweep``'s own function, store included, without the noise floor

Both give every pair's PSNR against the first plan, and they must be the same.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from quantlab.lab.compare import Bench, compare, image_array
from quantlab.lab.fidelity import compare_images
from quantlab.lab.outcome import Outcome
from quantlab.lab.plan import make_comparison
from quantlab.record.store import Store
from quantlab.record.sweep import make_sweep
from quantlab.record.sweep_run import run

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
Numbers = dict[tuple[str, str], float | None]


def main() -> None:
    """Measure both, print the table, and print the figures as the last line."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["QUANTLAB_DATA"] = folder
        out = Path(folder) / "images"
        _warm_imports(out)
        naive_s, naive_cpu_s, naive = _timed(lambda: _naive(out))
        sweep_s, sweep_cpu_s, swept = _timed(_sweep)
    same = all(naive[pair] == swept[pair] for pair in naive)
    print(f"{len(PLANS)} plans x {len(PROMPTS)} prompts, {STEPS} steps")
    print(f"naive loop  {naive_s:7.1f} s   {naive_cpu_s:7.1f} s of processor time")
    print(f"sweep       {sweep_s:7.1f} s   {sweep_cpu_s:7.1f} s of processor time")
    print("the same numbers" if same else "OTHER NUMBERS")
    figures = {
        "naive_s": naive_s,
        "sweep_s": sweep_s,
        "sweep_over_naive": sweep_s / naive_s,
        "cpu_over_naive": sweep_cpu_s / naive_cpu_s,
    }
    print(json.dumps({key: round(value, 3) for key, value in figures.items()} | {"same": same}))


def _warm_imports(out: Path) -> None:
    """Every library imported and every GGUF file written, for neither side to pay."""
    for plan in PLANS:
        _one(plan, PROMPTS[0], out)


def _timed(work: Callable[[], Numbers]) -> tuple[float, float, Numbers]:
    """Wall and processor seconds; the latter tell more where the machine has other work."""
    started, used = time.perf_counter(), time.process_time()
    found = work()
    return time.perf_counter() - started, time.process_time() - used, found


def _naive(out: Path) -> Numbers:
    found: Numbers = {}
    for prompt in PROMPTS:
        reference = None
        for plan in PLANS:
            pixels = image_array(Image.open(_one(plan, prompt, out).image or ""))
            if reference is None:
                reference = pixels
            found[prompt, plan] = compare_images(pixels, reference).psnr_db
    return found


def _one(plan: str, prompt: str, out: Path) -> Outcome:
    """Everything loaded anew: a fresh bench holds nothing."""
    comparison = make_comparison(plans=[plan], prompt=prompt, steps=STEPS)
    (outcome,) = compare(comparison, bench=Bench(), out=out, warmup=0)
    if outcome.status != "ok":
        raise SystemExit(f"{plan}: {outcome.error}")
    return outcome


def _sweep() -> Numbers:
    sweep = make_sweep(PLANS, PROMPTS, [0], steps=STEPS, warmup=0, noise_floor=False)
    rows = run(sweep, Store())
    return {(row.comparison.prompt, row.outcome.plan): row.outcome.psnr_db for row in rows}


if __name__ == "__main__":
    main()
