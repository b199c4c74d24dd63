"""The script of a plan, run where quantlab cannot be imported: does it make the same image?"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.gpu_day.book import Book
from quantlab.catalog.comparison import make_comparison
from quantlab.catalog.paths import PROJECT
from quantlab.catalog.table import load_catalog
from quantlab.lab.bench.compare import Bench, compare
from quantlab.lab.bench.fidelity import compare_images, image_array
from quantlab.lab.device import this_device
from quantlab.lab.libraries import load, resolve, torch
from quantlab.lab.script.pipeline import snippet

__all__ = ["items", "prepared"]

PROMPT = "a fox on a white background"
PLANS = (
    *("fp32", "bf16", "bnb-nf4", "bnb-int8", "torchao-int8wo", "torchao-fp8dq", "gguf-q8_0"),
    *("layerwise-fp8", "sdnq-int8", "quanto-fp8", "bf16@compiled", "bnb-nf4@compiled"),
    *("gguf-q4_k", "bfl-fp8", "hqq-int4", "sdnq-int8-hadamard", "torchao-mxfp8", "torchao-int8dq"),
    *("transformer=bnb-nf4,text_encoder_2=bnb-nf4", "torchao-int8wo@compiled"),
    "transformer=torchao-int8wo,text_encoder_2=torchao-int8wo",
)


def items(scale: str) -> tuple[str, ...]:
    """Plans; "plan+offload" is its script with model offload, "plan+lora" with a LoRA."""
    if scale == "mini":
        return ("fp32",)
    offload = ("bf16", "bnb-nf4", "torchao-int8wo")
    return (*PLANS, *(f"{plan}+offload" for plan in offload), "bnb-nf4+lora", "quanto-int8+lora")


@contextmanager
def prepared(book: Book, scale: str) -> Iterator[Callable[[str], None]]:
    """Yields what tries one script."""
    with tempfile.TemporaryDirectory(prefix="gpu-day-") as name:
        yield lambda item: _try(book, item, Path(name), 1 if scale == "mini" else 8)


def _try(book: Book, item: str, folder: Path, steps: int) -> None:
    plan, _, more = item.partition("+")
    lora = "mono" if more == "lora" else None
    asked = make_comparison(plans=[plan], prompt=PROMPT, steps=steps, lora=lora)
    catalog, device = load_catalog(), this_device()
    (outcome,) = compare(asked, bench=Bench(catalog, device), out=folder / "ours", warmup=0)
    if outcome.image is None:
        book.add("script", plan=item, same=False, reason=str(outcome.error))
        return
    placement = "model-offload" if more == "offload" else "resident"
    text = snippet(asked, asked.plans[0], catalog, device, placement=placement)
    theirs, said = _alone(text, folder)
    row: dict[str, Any] = {"plan": item, "same": False}
    if theirs is None:
        row["reason"] = said
    else:
        ours = resolve("PIL.Image.open")(outcome.image)
        pair = image_array(resolve("PIL.Image.open")(theirs)), image_array(ours)
        psnr = compare_images(*pair).get("psnr_db")
        row |= {"same": bool((pair[0] == pair[1]).all()), "psnr_db": psnr}
    book.add("script", **row)


def _alone(text: str, folder: Path) -> tuple[Path | None, str]:
    """The image that the script writes in a process without quantlab, or what it said."""
    site = str(Path(load("diffusers").__file__ or "").parents[1])
    threads = torch().get_num_threads()
    head = f"import sys\nsys.path.insert(0, {site!r})\nimport torch\n"
    head += f"torch.set_num_threads({threads})\n"
    data = folder / "data"
    if not data.exists():
        data.symlink_to(PROJECT / "data")
    # -I: neither the current folder nor PYTHONPATH is searched, so quantlab cannot be imported.
    done = subprocess.run(
        [sys.executable, "-I", "-c", head + text],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        return None, done.stderr[-1500:]
    return folder / "image.png", ""
