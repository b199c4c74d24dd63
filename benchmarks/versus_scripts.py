"""quantlab's comparison against the scripts that it stands for.

Five plans at 8 steps, one run each, no warm-up, measured four ways:

a  one standalone script per plan, each in its own process (wall clock from process start)
b  the same five scripts in one process, after the imports
c  our comparison in a fresh process: wall clock from process start, and again after the imports
d  our comparison of the next prompt, in the same process as c

``rss_over_script`` is the peak resident set of c over that of the largest single script.
Text encodings are calls of T5's forward in c. Each way runs three times, interleaved; medians
are compared.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from quantlab.catalog.comparison import make_comparison
from quantlab.catalog.paths import PROJECT
from quantlab.catalog.table import load_catalog
from quantlab.lab.device import this_device
from quantlab.lab.script.pipeline import snippet

PLANS = ("fp32", "bnb-nf4", "torchao-int8wo", "quanto-int8", "gguf-q4_0")
PROMPT = "a red apple on a blue background"
NEXT_PROMPT = "a fox on a white background"
ROUNDS = 3
IMPORTS = "import torch, diffusers, transformers, bitsandbytes, torchao.quantization, gguf\n"
IMPORTS += "import optimum.quanto, diffusers.quantizers, psutil\n"
IMPORTS += "from diffusers import FluxPipeline, FluxTransformer2DModel, AutoencoderKL\n"
IMPORTS += "from transformers import CLIPTextModel, T5EncoderModel\n"
IMPORTS += "from skimage.metrics import peak_signal_noise_ratio, structural_similarity\n"


def main() -> None:
    """Measure, print the table, and print the figures as the last line."""
    with tempfile.TemporaryDirectory() as folder:
        rounds = [_round(Path(folder) / str(i)) for i in range(ROUNDS)]
    figures = {key: median(r[key] for r in rounds) for key in rounds[0]}
    print(f"{'':38}{'median':>9}   all rounds")
    for key, value in figures.items():
        print(f"{key:38}{value:9.2f}   {'  '.join(f'{r[key]:.2f}' for r in rounds)}")
    result = {
        "c_over_a": figures["c process s"] / figures["a scripts, own processes s"],
        "c_over_b": figures["c after imports s"] / figures["b scripts, one process s"],
        "d_over_b": figures["d next prompt s"] / figures["b scripts, one process s"],
        "text_encodings": round(figures["c text encodings"]),
        "rss_over_script": figures["c peak MiB"] / figures["a largest peak MiB"],
    }
    print(json.dumps({key: round(value, 3) for key, value in result.items()}))


def _round(folder: Path) -> dict[str, float]:
    folder.mkdir()
    comparison = make_comparison(plans=PLANS, prompt=PROMPT, steps=8)
    scripts = [snippet(comparison, p, load_catalog(), this_device()) for p in comparison.plans]
    paths = []
    for index, text in enumerate(scripts):
        paths.append(folder / f"{index}.py")
        paths[-1].write_text(text)
    a = [_process([str(path)], folder) for path in paths]
    b = _report(_process_code(_SCRIPTS_IN_ONE, folder, [str(path) for path in paths]))
    c = _process_code(_OURS, folder, [str(folder / "out")])
    ours = _report(c)
    return {
        "a scripts, own processes s": sum(wall for wall, _, _ in a),
        "a largest peak MiB": max(peak for _, peak, _ in a),
        "b scripts, one process s": b["seconds"],
        "c process s": c[0] - ours["next_s"],
        "c after imports s": ours["first_s"],
        "c peak MiB": c[1],
        "c text encodings": ours["encodings"],
        "d next prompt s": ours["next_s"],
    }


def _process(arguments: list[str], folder: Path) -> tuple[float, float, str]:
    """Wall seconds, peak MiB and stdout of one Python process at the project's root."""
    environment = os.environ | {"QUANTLAB_DATA": str(folder / "data"), "PYTHONPATH": str(PROJECT)}
    # The scripts look for data/ beside them, and write image.png and GGUF files there.
    for name in ("data",):
        link = folder / name
        if not link.exists():
            link.symlink_to(PROJECT / name)
    environment["QUANTLAB_DATA"] = str(folder / "results")
    started = time.perf_counter()
    with (
        open(folder / "stderr", "ab") as errors,
        subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        printed = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{arguments[0]} failed:\n{(folder / 'stderr').read_text()[-2000:]}")
    return time.perf_counter() - started, usage.ru_maxrss / 1024, printed


def _process_code(code: str, folder: Path, arguments: list[str]) -> tuple[float, float, str]:
    path = folder / f"code-{abs(hash(code))}.py"
    path.write_text(code)
    for made in folder.glob("*.gguf"):
        made.unlink()  # each way makes its own GGUF file
    return _process([str(path), *arguments], folder)


def _report(measured: tuple[float, float, str]) -> dict[str, float]:
    result: dict[str, float] = json.loads(measured[2].splitlines()[-1])
    return result


_SCRIPTS_IN_ONE = (
    IMPORTS
    + """
import json, runpy, sys, time
started = time.perf_counter()
for path in sys.argv[1:]:
    runpy.run_path(path, run_name="__main__")
print(json.dumps({"seconds": time.perf_counter() - started}))
"""
)

_OURS = (
    IMPORTS
    + f"""
import json, sys, time
from pathlib import Path
from quantlab.lab.bench.compare import Bench, compare
from quantlab.catalog.comparison import make_comparison

encodings = 0

def count(module, args, output):
    global encodings
    encodings += type(module).__name__ == "T5EncoderModel"

torch.nn.modules.module.register_module_forward_hook(count)

def run(prompt):
    started = time.perf_counter()
    comparison = make_comparison(plans={PLANS!r}, prompt=prompt, steps=8)
    outcomes = compare(comparison, bench=bench, out=Path(sys.argv[1]), repeats=1, warmup=0)
    assert all(outcome.status == "ok" for outcome in outcomes), outcomes
    return time.perf_counter() - started

bench = Bench()
first = run({PROMPT!r})
first_encodings = encodings
second = run({NEXT_PROMPT!r})
print(json.dumps({{"first_s": first, "encodings": first_encodings, "next_s": second}}))
"""
)

if __name__ == "__main__":
    main()
