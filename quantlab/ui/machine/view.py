"""What the tab "This server" shows, as HTML: the machine, and cells of a probe.

Pure functions of cells and facts; every text is escaped here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from quantlab.lab.probe.probe import Probed, disagrees
from quantlab.record.probes import Kept
from quantlab.ui.words import MARKS, many
from quantlab.words.units import seconds, size

__all__ = ["CAPABILITY_LABELS", "COMPONENT_LABELS", "cells", "kept", "machine", "measured_of"]

CAPABILITY_LABELS = {
    "load": "load",
    "run": "make an image",
    "save-reload": "save and reload",
    "compile": "torch.compile",
    "lora": "train a LoRA",
    "offload": "offload",
    "simple-form": "simple form",
    "dtype-move": "move to another dtype",
}
COMPONENT_LABELS = {"transformer": "Transformer", "text_encoder_2": "T5 text encoder"}
FOUND = {
    "yes": ("✓", "yes"),
    "no": ("✗", "no"),
    "error": ("!", "error"),
    "skipped": ("–", "not tried"),
}
"""Sign and word of what was measured."""
HEADS = ("Scheme", "Capability", "Documented", "Measured", "Detail", "Time")


def machine(info: Mapping[str, Any], versions: Mapping[str, str]) -> str:
    """Device, memory and library versions."""
    kind = "" if info["kind"] == "cpu" else f" ({info['kind']})"
    facts = {
        "Device": f"{info['name']}{kind}",
        "Memory": size(int(info["memory_bytes"])),
        "Threads": str(info.get("threads", "-")),
        "System": str(info.get("system", "-")),
        "Versions": _versions(versions),
    }
    items = "".join(f"<div><dt>{k}</dt><dd>{escape(v)}</dd></div>" for k, v in facts.items())
    return f'<dl class="ql-facts">{items}</dl>'


def _versions(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items() if version)


def kept(rows: Sequence[Kept]) -> str:
    """The probes that come with the project, each machine and day folded under its name: those
    first that disagree most with what is documented, and the first one open."""
    groups: dict[tuple[str, str], list[Kept]] = {}
    for row in rows:
        groups.setdefault((row.machine, row.measured_on), []).append(row)
    apart = {key: sum(disagrees(row.cell) for row in group) for key, group in groups.items()}
    ordered = sorted(groups, key=lambda key: -apart[key])
    return "".join(
        _group(key, groups[key], apart[key], opened=key == ordered[0]) for key in ordered
    )


def _group(key: tuple[str, str], rows: Sequence[Kept], apart: int, *, opened: bool) -> str:
    name, date = key
    schemes = len({row.cell.scheme for row in rows})
    count = f"{many(schemes, 'scheme')}, {many(len(rows), 'cell')}; "
    count += f"{many(apart, 'disagreement')} with what is documented"
    used = f'<p class="ql-origin">With {escape(_versions(rows[0].versions))}.</p>'
    return (
        f'<details class="ql-group"{" open" if opened else ""}><summary>'
        f'<span class="ql-group-name">{escape(name)}</span>'
        f'<span class="ql-group-facts">{count}</span>'
        f'<span class="ql-group-where">measured on {escape(date)}</span></summary>'
        f"{used}{cells([row.cell for row in rows], folded=True)}</details>"
    )


def cells(found: Sequence[Probed], *, folded: bool = False) -> str:
    """Disagreements as a table, then everything by scheme; ``folded`` closes that until it is asked
    for."""
    if not found:
        return ""
    apart = [cell for cell in found if disagrees(cell)]
    if apart:
        count = f"{len(apart)} of {len(found)} cells disagree with what is documented"
        first = f'<h3 class="ql-part">{count}</h3>{_table(apart, "Disagreements")}'
    else:
        first = '<p class="ql-hint">No cell disagrees with what is documented.</p>'
    save = (
        '<p><button type="button" class="ql-button" data-save-table="probe">Download as CSV'
        "</button></p>"
    )
    rest = "".join(_components(found, folded=folded))
    return f'<div class="ql-probed">{first}<div data-saved>{save}{rest}</div></div>'


def _components(found: Sequence[Probed], *, folded: bool) -> Iterable[str]:
    for component in dict.fromkeys(cell.component for cell in found):
        mine = [cell for cell in found if cell.component == component]
        done = [cell for cell in mine if cell.measured != "skipped" or cell.capability != "load"]
        out = [cell for cell in mine if cell not in done]
        schemes = dict.fromkeys(cell.scheme for cell in done)
        rows = [_scheme(name, [cell for cell in done if cell.scheme == name]) for name in schemes]
        if out:
            rows.append(
                f'<details class="ql-scheme"><summary>{many(len(out), "scheme")} not tried, '
                f"each with its reason</summary>{_later(_table(out, 'Not tried'))}</details>"
            )
        label = escape(COMPONENT_LABELS.get(component, component))
        head, listed = f"{label}, scheme by scheme", "".join(rows)
        if folded:
            head += f" ({len(schemes)})"
            yield f'<details><summary class="ql-part">{head}</summary>{listed}</details>'
        else:
            yield f'<h3 class="ql-part">{head}</h3>{listed}'


def _scheme(name: str, mine: Sequence[Probed]) -> str:
    chips = "".join(_chip(cell) for cell in mine)
    return (
        f'<details class="ql-scheme"><summary><b>{escape(name)}</b>'
        f'<span class="ql-chips">{chips}</span></summary>{_later(_table(mine, name))}</details>'
    )


def _later(table: str) -> str:
    """A table that is part of the page only once it is opened (static/later.js): all of them are
    12,000 elements. No ``template``, whose inside Gradio passes over when it brings a page up to
    date."""
    return f'<script type="text/html">{table}</script>'


def _chip(cell: Probed) -> str:
    sign, word = FOUND[cell.measured]
    apart = disagrees(cell)
    said = f"{MARKS[_claim(cell)][0]} → {sign}" if apart else sign
    told = f"documented {cell.documented}, measured {word}" if apart else f"measured {word}"
    label = escape(CAPABILITY_LABELS[cell.capability])
    return (
        f'<span class="ql-chip is-{cell.measured}{" is-apart" if apart else ""}">{label} '
        f'<span aria-hidden="true">{said}</span><span class="ql-sr">{escape(told)}</span></span>'
    )


def _claim(cell: Probed) -> Any:
    return cell.documented if cell.documented in MARKS else "unknown"


def _table(mine: Sequence[Probed], name: str) -> str:
    heads = "".join(f'<th scope="col" role="columnheader">{head}</th>' for head in HEADS)
    rows = "".join(_row(cell) for cell in mine)
    return (
        f'<table class="ql-cells" role="table"><caption class="ql-sr">{escape(name)}</caption>'
        f'<thead role="rowgroup"><tr role="row">{heads}</tr></thead>'
        f'<tbody role="rowgroup">{rows}</tbody></table>'
    )


def _row(cell: Probed) -> str:
    sign, word = FOUND[cell.measured]
    where = "" if cell.component == "transformer" else f" on {COMPONENT_LABELS[cell.component]}"
    limit = f'<span class="ql-limit">of {cell.limit_s:g} s</span>' if cell.limit_s else ""
    took = "-" if cell.measured == "skipped" and not cell.seconds else seconds(cell.seconds)
    values = (
        ("", escape(CAPABILITY_LABELS[cell.capability] + where)),
        ("", _documented(cell)),
        (
            f"is-{cell.measured}",
            f'<span aria-hidden="true">{sign}</span> {word}'
            + ('<span class="ql-sr">, which disagrees</span>' if disagrees(cell) else ""),
        ),
        ("ql-detail", f"<span>{escape(cell.detail)}</span>"),
        ("ql-took", f"<span>{took} {limit}</span>"),
    )
    tds = "".join(
        f'<td role="cell" class="{kind}" data-label="{head}">{value}</td>'
        for head, (kind, value) in zip(HEADS[1:], values, strict=True)
    )
    apart = ' class="is-apart"' if disagrees(cell) else ""
    name = escape(cell.scheme)
    return f'<tr role="row"{apart}><th scope="row" role="rowheader">{name}</th>{tds}</tr>'


def _documented(cell: Probed) -> str:
    if cell.documented is None:
        return '<span class="is-unknown">-</span>'
    sign, word = MARKS[_claim(cell)]
    return f'<span class="is-{_claim(cell)}"><span aria-hidden="true">{sign}</span> {word}</span>'


def measured_of(scheme: str, rows: Sequence[Kept]) -> str:
    """What the kept probes measured of one scheme, for the sheet of its claims; or nothing."""
    mine = [row for row in rows if row.cell.scheme == scheme]
    if not mine:
        return ""
    items = "".join(
        f"<div><dt>{_documented_name(row.cell)}</dt><dd>{_measured(row.cell)}</dd></div>"
        for row in mine
    )
    where = f"{escape(mine[0].machine)}, {escape(mine[0].measured_on)}"
    return (
        '<h3 class="ql-claims-title">Measured</h3>'
        f'<p class="ql-hint">{where}. The tab “This server” has all of it.</p>'
        f'<dl class="ql-claims">{items}</dl>'
    )


def _documented_name(cell: Probed) -> str:
    where = "" if cell.component == "transformer" else f", {COMPONENT_LABELS[cell.component]}"
    return escape(CAPABILITY_LABELS[cell.capability] + where)


def _measured(cell: Probed) -> str:
    sign, word = FOUND[cell.measured]
    return (
        f'<span class="ql-mark is-{cell.measured}" aria-hidden="true">{sign}</span> {word}'
        f"<p>{escape(cell.detail)}</p>"
    )
