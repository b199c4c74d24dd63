"""What came of a tuning, as HTML: its verdict and the three plans with their intervals."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

__all__ = ["outcome"]

HEADS = ("Plan", "Bits a weight", "One step off", "PSNR, dB")


def outcome(report: Mapping[str, Any], folder: str) -> str:
    """The document of report.json; ``folder`` is where its files lie."""
    held_out = len(report["prompts"]["held_out"])
    mix = {**report, "loss_interval": report["interval"]}
    plans = (
        (str(report["plan"]), mix),
        (f"{report['uniform']['scheme']}, usual layers in 16 bits", report["uniform"]),
        (f"{report['uniform_plain']['scheme']} on every layer", report["uniform_plain"]),
    )
    heads = "".join(f'<th scope="col">{head}</th>' for head in HEADS)
    rows = "".join(_row(name, each) for name, each in plans)
    warnings = "".join(f'<p class="ql-hint">{escape(text)}.</p>' for text in report["warnings"])
    verdict = str(report["verdict"])
    return (
        f'<p role="status">{escape(verdict[0].upper() + verdict[1:])}.</p>'
        '<div class="ql-scroll"><table class="ql-results" role="table"><caption class="ql-sr">The '
        f"mix beside uniform plans</caption><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody>"
        f'</table></div>{warnings}<p class="ql-hint">On {held_out} prompts that were not tuned on; '
        "95 % intervals in brackets. No link carries a mix of one’s own. Its report, config and a "
        f"script that runs without quantlab: <code>{escape(folder)}</code></p>"
    )


def _row(name: str, held: Mapping[str, Any]) -> str:
    low, high = held["loss_interval"]
    psnr = held["psnr_db"]
    cells = (
        f"{held['bits']:.2f}",
        f"{held['loss']:.2%} ({low:.2%} to {high:.2%})",
        f"{psnr['mean']:.1f} ({psnr['low']:.1f} to {psnr['high']:.1f})" if psnr else "identical",
    )
    each = "".join(f"<td>{cell}</td>" for cell in cells)
    return f'<tr><th scope="row">{escape(name)}</th>{each}</tr>'
