"""Writes data/learn/number-line.json: some of flux-mini's weights as 16, 8, 4, 2 bits hold them.

``python -m tools.number_line`` rounds a row of a real layer with torchao (one scale for each 64
weights, IntxWeightOnlyConfig) and, for 16 bits, with torch's bf16. ``--check`` says whether the
file is stale. Errors are over the whole row; the weights that are drawn are the first of it.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torchao.quantization import IntxWeightOnlyConfig, PerGroup, quantize_

__all__ = ["main", "number_line"]

PROJECT = Path(__file__).resolve().parents[1]
FILE = PROJECT / "data" / "learn" / "number-line.json"
LAYER = "transformer_blocks.0.attn.to_q.weight"
GROUP, DRAWN = 64, 20
BITS = {8: torch.int8, 4: torch.int4, 2: torch.int2}


def number_line() -> dict[str, Any]:
    """The document: the weights, and for each width what becomes of them and how far off it is."""
    row = _row()
    rounded = {16: row.to(torch.bfloat16).float(), **{bits: _held(row, bits) for bits in BITS}}
    return {
        "layer": LAYER,
        "group": GROUP,
        "weights": _written(row[:DRAWN]),
        "rows": [_told(bits, row, held) for bits, held in rounded.items()],
    }


def _row() -> torch.Tensor:
    """The first row of the layer, fp32: as many weights as the layer has inputs."""
    for path in sorted((PROJECT / "data" / "flux-mini" / "transformer").glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            if LAYER in file.keys():  # noqa: SIM118  # it is no mapping
                return file.get_tensor(LAYER)[0].float()
    raise SystemExit(f"{LAYER} is in none of flux-mini's files")


def _held(row: torch.Tensor, bits: int) -> torch.Tensor:
    """What the weights are once torchao has stored them in so many bits."""
    linear = torch.nn.Linear(row.numel(), 1, bias=False)
    linear.weight = torch.nn.Parameter(row.clone()[None])
    kind = IntxWeightOnlyConfig(weight_dtype=BITS[bits], granularity=PerGroup(GROUP))
    quantize_(linear, kind)
    return linear.weight.dequantize()[0].float()


def _told(bits: int, row: torch.Tensor, held: torch.Tensor) -> dict[str, Any]:
    error = (row - held).abs()
    return {
        "bits": bits,
        "values": _written(held[:DRAWN]),
        "levels": len(set(_written(held[:GROUP]))),
        "mean_error": float(f"{error.mean():.3g}"),
        "largest_error": float(f"{error.max():.3g}"),
    }


def _written(values: torch.Tensor) -> list[float]:
    return [round(float(value), 5) for value in values]


def main(argv: list[str] | None = None) -> int:
    """Write the file, or with ``--check`` say whether it is stale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if stale")
    text = json.dumps(number_line(), indent=1) + "\n"
    if parser.parse_args(argv).check:
        return 0 if FILE.read_text(encoding="utf-8") == text else 1
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
