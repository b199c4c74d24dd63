"""Tries every scheme that runs here in every way: data/results/schemes-flux-mini-cpu.csv.

    nice python -m tools.sweep_all [--schemes ID ...]

The test run has one quick case a scheme; this is the full set, on flux-mini's denoiser and large
text encoder, a row each:

- stored, formula: bytes of the component as it is stored, and as data/methods says
- one_step, psnr_db: as in a comparison of two steps
- told_from: how many other schemes' verification refused it, all of them
- script: whether the script without quantlab makes the same image to the bit
- lora: the catalogue's rule, where the adapter moved the picture as it moves the reference
- reload: whether saved and loaded by the libraries alone it is the same to the bit

What does not hold stands in its column as words, and the command exits 1. Rows of schemes that do
not run here stay as they are.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path

from quantlab.catalog.comparison import make_comparison
from quantlab.catalog.machine import here, this_machine
from quantlab.catalog.paths import PROJECT
from quantlab.catalog.reach import why_not
from quantlab.catalog.schema import Component, Scheme
from quantlab.catalog.sizes.weights import component_bytes
from quantlab.catalog.table import load_catalog
from quantlab.errors import PlanError, QuantlabError, VerificationError
from quantlab.lab.bench.compare import Bench, compare
from quantlab.lab.device import this_device
from quantlab.lab.keep.takeaway import take_away
from quantlab.lab.libraries import versions
from quantlab.lab.load.weights import verify
from quantlab.lab.script.pipeline import snippet
from quantlab.words.comparison import Comparison
from quantlab.words.outcome import Outcome

__all__ = ["BYTES", "COLUMNS", "LORA", "TARGET", "cases", "main", "rows", "sound"]

CATALOG = load_catalog()
MODEL = CATALOG.models["flux-mini"]
DENOISER, ENCODER = MODEL.denoiser, "text_encoder_2"
PROMPT = "a red apple on a blue background"
TARGET = PROJECT / "data" / "results" / "schemes-flux-mini-cpu.csv"
COLUMNS = (
    "scheme", "component", "stored", "formula", "one_step", "psnr_db",
    "told_from", "script", "lora", "reload",
)  # fmt: skip
BYTES = 0.005
"""How far stored bytes may be from the formula, as a share."""
LORA = 0.2
"""How much farther than without a LoRA a step may be from the reference, where both wear one; with
the reference alone wearing it, it is about 0.8."""
AT_ONCE = 8
"""Rows whose scripts run in one process, which imports the libraries once."""
ALONE = """
import json, os, runpy, sys, traceback
for folder in json.loads(sys.argv[1]):
    os.chdir(folder)
    try:
        runpy.run_path("script.py", run_name="__main__")
    except Exception:
        open("said", "w").write(traceback.format_exc())
"""


def cases() -> Iterator[tuple[Scheme, Component]]:
    """Every scheme that this machine can run, with each component that takes it."""
    for scheme in CATALOG.schemes.values():
        method = CATALOG.methods[scheme.method]
        if scheme.on_cpu == "no" or here(scheme, method, this_machine(), MODEL) != "ok":
            continue
        for name in (DENOISER, ENCODER):
            component = MODEL.component(name)
            assert component is not None
            if why_not(scheme, component.library, component.cls) is None:
                yield scheme, component


def sound(row: Mapping[str, str]) -> list[str]:
    """What does not hold in ``row``, in words."""
    wrong = []
    if abs(int(row["stored"]) / int(row["formula"]) - 1) > BYTES:
        wrong.append("bytes are not the formula's")
    if row["script"] != "same":
        wrong.append(f"script: {row['script']}")
    if row["lora"] not in ("after", "before", "-"):
        wrong.append(f"lora: {row['lora']}")
    if row["reload"] not in ("same", "-"):
        wrong.append(f"reload: {row['reload']}")
    if row["told_from"] != "all":
        wrong.append(f"told_from: {row['told_from']}")
    return wrong


class Trial:
    """One scheme on one component."""

    def __init__(self, scheme: Scheme, component: Component, bench: Bench, folder: Path) -> None:
        self.scheme, self.component, self.bench, self.folder = scheme, component, bench, folder
        self.text = f"{component.name}={scheme.id}"
        self.image = b""

    def row(self) -> dict[str, str]:
        """All columns but the script's, which waits in ``alone`` to be run."""
        told_from = self._told_from()  # before it runs: bitsandbytes' first call on a CPU repacks
        _, found = self._compare("fp32", self.text)
        stored = found.weights_bytes[self.component.name]
        row = {"scheme": self.scheme.id, "component": self.component.name, "stored": str(stored)}
        row["formula"] = str(component_bytes(MODEL, self.component.name, self.scheme.id))
        row["one_step"] = f"{found.transformer_rel_l2 or 0:.5f}"
        row["psnr_db"] = f"{found.psnr_db or 0:.2f}"
        return row | {
            "told_from": told_from,
            "script": self._wait(found),
            "lora": self._lora(found.transformer_rel_l2 or 0.0),
            "reload": self._reload(),
        }

    def _comparison(self, *plans: str, lora: str | None = None) -> Comparison:
        return make_comparison(plans=plans, prompt=PROMPT, steps=2, lora=lora)

    def _compare(self, *plans: str, lora: str | None = None) -> list[Outcome]:
        asked = self._comparison(*plans, lora=lora)
        outcomes = compare(asked, bench=self.bench, out=self.folder / "ours", warmup=0)
        if failed := [o.error.message for o in outcomes if o.error]:
            raise QuantlabError(f"{self.text}: {failed[0]}")
        return outcomes

    def _told_from(self) -> str:
        plan = self._comparison(self.text).plans[0]
        module = getattr(self.bench.pool.load(MODEL, plan, _quiet).pipe, self.component.name)
        alike = []
        for other in CATALOG.schemes.values():
            if other.id == self.scheme.id or not other.holds:
                continue
            try:
                verify(module, other, self.component.name)
                alike.append(other.id)
            except VerificationError:
                pass
        return f"not from {' '.join(alike)}" if alike else "all"

    @property
    def alone(self) -> Path:
        """The script's folder."""
        return self.folder / "alone"

    def script(self) -> str:
        """How the script went, once it ran."""
        made, said = self.alone / "image.png", self.alone / "said"
        if said.exists():
            return said.read_text("utf-8").strip().splitlines()[-1][:200]
        if not made.exists():
            return "its process died"
        return "same" if made.read_bytes() == self.image else "another image"

    def _wait(self, found: Outcome) -> str:
        comparison = self._comparison(self.text)
        text = snippet(comparison, comparison.plans[0], CATALOG, this_device())
        self.alone.mkdir(parents=True)
        (self.alone / "data").symlink_to(PROJECT / "data")
        (self.alone / "script.py").write_text(text, encoding="utf-8")
        assert found.image is not None
        self.image = Path(found.image).read_bytes()
        return ""

    def _lora(self, one_step: float) -> str:
        rule = self.scheme.lora
        if rule is None or self.component.name != DENOISER:
            return "-"
        try:
            _, found = self._compare("fp32", self.text, lora="mono")
        except QuantlabError as error:
            return str(error)
        step = found.transformer_rel_l2 or 0.0
        most = LORA + one_step
        return rule.way if 0 < step < most else f"{rule.way}, but a step is {step:.3f} away"

    def _reload(self) -> str:
        comparison = self._comparison(self.text)
        try:
            out, this = self.folder / "away", this_device()
            saved = take_away(comparison, out, catalog=CATALOG, device=this, components_only=True)
        except PlanError:
            return "-"  # the catalogue says that it is not saved
        except QuantlabError as error:
            return str(error)
        differs = [name for name, d in saved.differences.items() if d.changed]
        return "differs" if differs else "same"


def _quiet(_: str) -> None:
    """Says nothing."""


def _tried(
    some: Sequence[tuple[Scheme, Component]], bench: Bench, root: Path, say: Callable[[str], None]
) -> Iterator[dict[str, str]]:
    """Rows of ``some``, whose scripts run in one process that cannot import quantlab."""
    found: list[tuple[Trial, dict[str, str]]] = []
    for number, (scheme, component) in enumerate(some):
        trial = Trial(scheme, component, bench, root / str(number))
        try:
            found.append((trial, trial.row()))
        except QuantlabError as error:
            say(f"{scheme.id} on {component.name}: {error}")
    folders = json.dumps([str(trial.alone) for trial, _ in found])
    command = [sys.executable, "-I", "-c", ALONE, folders]
    subprocess.run(command, cwd=root, capture_output=True, check=False)
    for trial, row in found:
        yield row | {"script": trial.script()}


def rows(target: Path = TARGET) -> dict[tuple[str, str], dict[str, str]]:
    """The rows of the kept file, by scheme and component."""
    if not target.exists():
        return {}
    with target.open(encoding="utf-8", newline="") as file:
        return {(row["scheme"], row["component"]): row for row in csv.DictReader(file)}


def _write(found: Iterable[Mapping[str, str]]) -> None:
    known = list(found)
    with TARGET.open("w", encoding="utf-8", newline="") as file:
        columns = list(dict.fromkeys(name for row in known for name in row))
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(known)


def main(say: Callable[[str], None] = print) -> int:
    """Try them, write the file row by row; 1 where something does not hold."""
    parser = argparse.ArgumentParser(description="Try every scheme in every way.")
    parser.add_argument("--schemes", nargs="+", help="only these; otherwise all that run here")
    wanted = set(parser.parse_args().schemes or ())
    bench, known, right = Bench(CATALOG, this_device()), rows(), 0
    same = {"measured_on": date.today().isoformat(), **versions()}
    chosen = [case for case in cases() if not wanted or case[0].id in wanted]
    for start in range(0, len(chosen), AT_ONCE):
        with tempfile.TemporaryDirectory() as root:
            for row in _tried(chosen[start : start + AT_ONCE], bench, Path(root), say):
                faults = sound(row)
                right += not faults
                known[row["scheme"], row["component"]] = row | same
                say(" ".join([*row.values(), *faults]))
        _write(known.values())
    return 0 if right == len(chosen) else 1


if __name__ == "__main__":
    raise SystemExit(main())
