"""Predicted bytes against published ones, for FLUX.1-dev on an H100.

    python -m benchmarks.prediction

Rows that leave T5 alone are the test of the rule: one rule, nothing fitted to a row. The blog's
memory is *reserved*, torchao's *allocated*; the prediction is allocated, so the blog's rows may be
a few percent above it. Published peaks of torchao's quantized rows are those of quantizing on the
GPU, where the bf16 weights were first; the predicted ones are of running.

Rows that quantize T5 are of 2025 and stand beside what today's libraries do. They differ in T5's
``wo`` layers, 21 % of its numbers: transformers marks them to be kept in fp32. Today torchao
quantizes them all the same and the others keep them in the dtype asked for; in 2025 it was another
version's choice, which the blog does not state, so all three are shown and none is chosen.

Peaks under model offload (reserved, too) check the estimate of what running adds; no constant was
set by them. Last line: one JSON object, errors as shares of the published figure.
"""

from __future__ import annotations

import csv
import json
import statistics
import time
from dataclasses import dataclass

from quantlab.catalog.comparison import parse_plan
from quantlab.catalog.paths import PROJECT
from quantlab.catalog.sizes.predict import Prediction, predict, rules_versions
from quantlab.catalog.sizes.shapes import component_shapes
from quantlab.catalog.sizes.storage import weight_bytes
from quantlab.catalog.table import load_catalog

__all__ = ["Row", "main", "rows"]

GIB = 2**30
PUBLISHED = PROJECT / "data" / "results" / "published-h100.csv"


@dataclass(frozen=True)
class Row:
    """One published row, GiB, and its prediction."""

    method: str
    plan: str
    kind: str
    loaded_gib: float
    peak_gib: float
    offload_peak_gib: float | None
    """The peak under model offload, where it was measured and everything was moved."""
    prediction: Prediction

    @property
    def quantizes_t5(self) -> bool:
        """Whether the row depends on which of T5's layers the libraries quantized then."""
        return "text_encoder_2" in self.plan

    @property
    def error(self) -> float:
        """Predicted weights over published memory after loading, less 1."""
        return self.prediction.total_bytes / GIB / self.loaded_gib - 1

    @property
    def offload_error(self) -> float:
        """Predicted peak under model offload over the published one, less 1."""
        assert self.offload_peak_gib is not None
        return self.prediction.offload_peak_bytes / GIB / self.offload_peak_gib - 1

    def with_wo(self) -> tuple[float, float, float]:
        """GiB predicted with T5's ``wo`` quantized, in bf16 and in fp32."""
        scheme = load_catalog().schemes[self.plan.rpartition("=")[2]]
        assert scheme.storage is not None
        layers = component_shapes(load_catalog().models["flux1-dev"], "text_encoder_2")
        wo = [m.weight for m in layers if m.name.endswith(".wo")]
        numbers = sum(out * into for out, into in wo)
        quantized = sum(weight_bytes(scheme.storage, out, into, 2) or 0 for out, into in wo)
        today = 2 * numbers if "T5EncoderModel" in scheme.skip else quantized
        rest = self.prediction.total_bytes - today
        return ((rest + quantized) / GIB, (rest + 2 * numbers) / GIB, (rest + 4 * numbers) / GIB)


def rows() -> list[Row]:
    """The published rows with their predictions, in the file's order."""
    catalog = load_catalog()
    model = catalog.models["flux1-dev"]
    found = []
    with PUBLISHED.open(encoding="utf-8", newline="") as lines:
        for line in csv.DictReader(lines):
            plan = parse_plan(line["plan"], model, catalog)
            found.append(
                Row(
                    method=line["method"],
                    plan=line["plan"],
                    kind=line["memory_kind"],
                    loaded_gib=float(line["loaded_gib"]),
                    peak_gib=float(line["peak_gib"]),
                    offload_peak_gib=_moved(line),
                    prediction=predict(
                        "flux1-dev",
                        plan,
                        width=int(line["width"]),
                        height=int(line["height"]),
                        sequence_length=512,
                    ),
                )
            )
    return found


def _moved(line: dict[str, str]) -> float | None:
    """Where something stayed on the GPU (bitsandbytes, casting hooks) the row says nothing."""
    return float(line["offload_peak_gib"]) if line["offload_loaded_gib"] == "0" else None


def main() -> None:
    """Print both tables and the JSON line."""
    found = rows()
    plain = [row for row in found if not row.quantizes_t5]
    rules = rules_versions(load_catalog())
    print("rules of", ", ".join(f"{name} {version}" for name, version in rules.items()))
    print("\nT5 left alone, GiB after loading      published  predicted   error  peak (published)")
    for row in plain:
        peak = f"{row.prediction.peak_bytes / GIB:6.2f} ({row.peak_gib:.2f})"
        print(
            f"{row.method:26} {row.kind:9} {row.loaded_gib:11.3f} "
            f"{row.prediction.total_bytes / GIB:10.3f} {row.error:+7.2%}  {peak}"
        )
    print(
        "\nT5 quantized (2025), GiB    published   today   difference   wo quantized / bf16 / fp32"
    )
    for row in (row for row in found if row.quantizes_t5):
        options = " / ".join(f"{gib:6.3f}" for gib in row.with_wo())
        print(
            f"{row.method:26} {row.loaded_gib:10.3f} {row.prediction.total_bytes / GIB:7.3f} "
            f"{row.error:+11.2%}    {options}"
        )
    print("\nModel offload, peak in GiB   published  predicted   error")
    for row in (row for row in found if row.offload_peak_gib):
        predicted = row.prediction.offload_peak_bytes / GIB
        print(
            f"{row.method:26} {row.offload_peak_gib:10.3f} {predicted:10.3f} "
            f"{row.offload_error:+7.2%}"
        )
    errors = [abs(row.error) for row in plain]
    print(json.dumps(_figures(errors, plain)))


def _figures(errors: list[float], plain: list[Row]) -> dict[str, float]:
    allocated = next(row for row in plain if row.kind == "allocated" and row.plan == "bf16")
    peak_error = allocated.prediction.peak_bytes / GIB / allocated.peak_gib - 1
    return {
        "rows": len(errors),
        "median_error": round(statistics.median(errors), 4),
        "worst_error": round(max(errors), 4),
        "bf16_peak_error": round(peak_error, 4),
        "predict_ms": round(_milliseconds(), 2),
    }


def _milliseconds() -> float:
    model = load_catalog().models["flux1-dev"]
    plan = parse_plan("transformer=bnb-nf4,text_encoder_2=bnb-nf4", model)
    started = time.perf_counter()
    predict(model.id, plan)
    return 1000 * (time.perf_counter() - started)


if __name__ == "__main__":
    main()
