"""The badge beside a fidelity figure, and the sheet that says what its words mean.

The sheet is there once on the page; every badge is a button that opens it, without a script.
"""

from __future__ import annotations

from html import escape

from quantlab.catalog.bands import Bands, Scale, load_bands
from quantlab.words.metrics import metric

__all__ = ["SHEET", "badge", "sheet"]

SHEET = "ql-bands"
"""The id of the sheet's element."""


def badge(key: str, value: float | None) -> str:
    """The band of a metric's value as sign and word; None stands for identical images.

    Nothing for a metric that has no bands.
    """
    row = metric(key)
    if not row.banded:
        return ""
    bands = load_bands()
    band = bands.of(row, value)
    name = next(scale.name for scale in bands.scales if scale.metric == row)
    return (
        f'<button type="button" class="ql-badge is-band-{band.level}" popovertarget="{SHEET}"'
        f' aria-label="{name}: {escape(band.word)}. What this means">'
        f"{_sign(band.level)} {escape(band.word)}</button>"
    )


def _sign(level: int) -> str:
    full = len(load_bands().bands) - 1
    dots = "●" * level + "○" * (full - level)
    return f'<span class="ql-dots" aria-hidden="true">{dots}</span>'


def sheet() -> str:
    """Every word with its limits, where the limits are from, and what is usual on FLUX.1-dev."""
    bands = load_bands()
    heads = "".join(f'<th scope="col">{escape(s.name)}</th>' for s in bands.scales)
    scales = "".join(f"<dt>{escape(s.name)}</dt><dd>{_basis(s)}</dd>" for s in bands.scales)
    marks = "".join(
        f"<li><b>{mark.psnr_db:.1f} dB</b> {escape(mark.text)}; "
        f"{_link(mark.source, mark.url)}, checked {escape(mark.checked)}</li>"
        for mark in bands.marks
    )
    return (
        f'<div id="{SHEET}" class="ql-bands" popover role="dialog" aria-labelledby="ql-bands-name">'
        '<h2 id="ql-bands-name">How far from the reference</h2>'
        f'<button type="button" class="ql-button" popovertarget="{SHEET}"'
        ' popovertargetaction="hide">Close</button>'
        "<p>The words say how far a plan’s image is from the reference’s, not which one is better: "
        "quantizing often moves shapes without spoiling them. SSIM and PSNR compare the two saved "
        "images; the one-step error compares the transformer’s output on equal input, before any "
        "of that can build up.</p>"
        '<div class="ql-bands-scroll" tabindex="0" role="region" aria-label="Bands">'
        '<table><thead><tr><th scope="col">Word</th>'
        f'{heads}<th scope="col">Meaning</th></tr></thead><tbody>{_rows(bands)}</tbody></table>'
        f"</div><dl>{scales}</dl><p>PSNR that is usual on the full model:</p><ul>{marks}</ul></div>"
    )


def _rows(bands: Bands) -> str:
    rows = []
    for index, band in enumerate(bands.bands):
        cells = "".join(f"<td>{_limit(bands, index, s)}</td>" for s in bands.scales)
        rows.append(
            f'<tr><th scope="row"><span class="ql-badge is-band-{band.level}">{_sign(band.level)} '
            f"{escape(band.word)}</span></th>{cells}<td>{escape(band.meaning)}</td></tr>"
        )
    return "".join(rows)


def _limit(bands: Bands, index: int, scale: Scale) -> str:
    if index == 0:
        return "equal"
    last = index == len(bands.bands) - 1
    limit = bands.bands[index - 1 if last else index].limits[scale.metric.key]
    if scale.metric.best == "low":
        return f"{'>' if last else '≤'} {limit:.0%}"
    return f"{'<' if last else '≥'} {limit:g} {scale.unit}".strip()


def _basis(scale: Scale) -> str:
    where = f" {_link(scale.source, scale.url)}, checked {escape(scale.checked)}."
    return escape(scale.basis) + (where if scale.source else "")


def _link(text: str, url: str) -> str:
    return f'<a href="{escape(url)}" target="_blank" rel="noopener">{escape(text)}</a>'
