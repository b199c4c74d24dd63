"""What a tuning leaves behind: a folder with the report, the mix, its file and a script.

report.json    figures, layers, prompts; the verdict against a uniform plan
mix.toml       what catalog/read/mixes.py reads: the scheme as data
image.py       makes an image with it, without quantlab
plan.txt       the plan's text
measured.json  single effects, to go on from
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from quantlab.catalog.paths import whole_file
from quantlab.catalog.read.mixes import mix_text
from quantlab.errors import StoreError
from quantlab.lab.bench.interval import Span, span
from quantlab.lab.device import Device
from quantlab.lab.libraries import versions
from quantlab.lab.script.pipeline import snippet
from quantlab.lab.tune.allocate import Option
from quantlab.lab.tune.layers import KEPT_BITS, Layer
from quantlab.lab.tune.question import AT, HELD_AT
from quantlab.lab.tune.tune import Rival, Tuned
from quantlab.lab.tune.validate import gain_db
from quantlab.words.plan import Plan

__all__ = ["additive", "report", "verdict", "write"]

ADDITIVE = (0.7, 1.4)
"""Within which share of the root of summed effects the whole must lie for them to have added up."""


def gains(tuned: Tuned) -> tuple[Span, Span]:
    """dB of PSNR over the uniform plan with the usual layers in 16 bits, and over that without."""
    mix = tuned.mix.held
    return gain_db(mix, tuned.uniform.held), gain_db(mix, tuned.uniform_plain.held)


def verdict(tuned: Tuned) -> str:
    """Whether it was worth it, in a sentence; a gain counts where its whole interval is above 0."""
    gain, _ = gains(tuned)
    against = f"{tuned.uniform.scheme.name} ({tuned.uniform.bits:.2f} bits)"
    said = f"{gain.mean:+.1f} dB ({gain.low:+.1f} to {gain.high:+.1f})"
    if gain.low > 0:
        return f"better than {against}: {said} of PSNR on held-out prompts"
    return f"no better than uniform: {said} against {against} on held-out prompts"


def additive(tuned: Tuned) -> str:
    """A warning where single effects did not add up to the whole; "" where they did."""
    share = tuned.together / tuned.predicted if tuned.predicted else 1.0
    if ADDITIVE[0] <= share <= ADDITIVE[1]:
        return ""
    return (
        f"single effects do not add up: together the layers move pictures by {tuned.together:.4f}, "
        f"and {tuned.predicted:.4f} was to be expected; the ranking is not to be relied on"
    )


def report(tuned: Tuned, device: Device) -> dict[str, Any]:
    """The document of report.json."""
    asked, losses = tuned.question, span(tuned.mix.held.losses)
    gain, plain = gains(tuned)
    warning = additive(tuned)
    return {
        "plan": tuned.mix.scheme.id,
        "model": asked.model.id,
        "method": asked.method.id,
        "budget_bits": asked.budget_bits,
        **_figures(tuned.mix),
        "interval": [losses.low, losses.high],
        "uniform": {"scheme": _id(tuned, tuned.uniform), **_figures(tuned.uniform)},
        "uniform_plain": {
            "scheme": _id(tuned, tuned.uniform_plain),
            **_figures(tuned.uniform_plain),
        },
        "gain_db": gain.as_dict(),
        "gain_plain_db": plain.as_dict(),
        "verdict": verdict(tuned),
        "warnings": [warning] if warning else [],
        "additivity": {"predicted": tuned.predicted, "measured": tuned.together},
        "keep": [la.name for la, one in tuned.chosen.items() if one.bits >= KEPT_BITS],
        "config": _config(tuned),
        "layers": [_layer(layer, one, tuned.options[layer]) for layer, one in _ranked(tuned)],
        "prompts": {
            "tuning": [c.prompt for c in asked.tuning],
            "held_out": [c.prompt for c in asked.held_out],
            "steps": asked.tuning[0].steps,
            "drawn": asked.drawn,
            "tuned_at": list(AT),
            "held_out_at": list(HELD_AT),
        },
        "seconds": round(tuned.seconds, 1),
        "measured_on": date.today().isoformat(),
        "device": device.info(),
        "versions": versions(),
    }


def _figures(rival: Rival) -> dict[str, Any]:
    losses = span(rival.held.losses)
    known = [psnr for psnr in rival.held.psnr_db if psnr is not None]
    return {
        "bits": rival.bits,
        "loss": losses.mean,
        "loss_interval": [losses.low, losses.high],
        "psnr_db": span(known).as_dict() if known else None,
    }


def _id(tuned: Tuned, rival: Rival) -> str:
    """The one scheme that a uniform plan has beside the kept layers."""
    if not rival.scheme.layers:
        return rival.scheme.id
    mixing = tuned.question.method.mixing
    kept = mixing.kept if mixing else ""
    every = Counter(each.id for each in rival.scheme.layers.values())
    held = every.copy()
    del held[kept]
    return (held or every).most_common(1)[0][0]  # all layers in 16 bits are a uniform plan, too


def _config(tuned: Tuned) -> Mapping[str, str]:
    """Layer -> scheme, for all that is quantized."""
    return {layer.name: one.scheme for layer, one in tuned.chosen.items() if one.scheme}


def _ranked(tuned: Tuned) -> list[tuple[Layer, Option]]:
    """Layers by what one bit fewer costs: the most sensitive first."""

    def harm(pair: tuple[Layer, Option]) -> float:
        each = tuned.options[pair[0]]
        return max(option.effect for option in each) / pair[0].numbers

    return sorted(tuned.chosen.items(), key=harm, reverse=True)


def _layer(layer: Layer, chosen: Option, options: Any) -> dict[str, Any]:
    return {
        "name": layer.name,
        "shape": [layer.rows, layer.columns],
        "scheme": chosen.scheme,
        "bits": chosen.bits,
        "rel_l2": {option.scheme: option.effect**0.5 for option in options},
    }


def write(tuned: Tuned, device: Device) -> dict[str, Any]:
    """Write the folder's files, each whole or not at all; the report's document.

    Raises:
        StoreError: the folder cannot be written.
    """
    asked, document = tuned.question, report(tuned, device)
    plan = Plan(((asked.model.denoiser, tuned.mix.scheme.id),))
    script = snippet(asked.held_out[0], plan, tuned.catalog, device)
    _write(asked.out / "mix.toml", mix_text(tuned.mix.scheme))
    _write(asked.out / "image.py", script)
    _write(asked.out / "plan.txt", f"{plan}\n")
    _write(asked.out / "report.json", json.dumps(document, indent=2) + "\n")
    return document


def _write(path: Path, text: str) -> None:
    try:
        with whole_file(path) as part:
            part.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}") from None
