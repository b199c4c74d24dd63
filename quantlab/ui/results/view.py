"""The Results tab as HTML: a section for each group, with its plots and its table.

Pure functions of groups; every text is escaped here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from quantlab.record.results.groups import Group, Line, between
from quantlab.ui.results.plot import plots
from quantlab.ui.results.runs_view import open_link
from quantlab.ui.words import PEAK_KINDS, many, when
from quantlab.words.metrics import in_words
from quantlab.words.outcome_text import modes_text
from quantlab.words.settings import described
from quantlab.words.units import seconds, size

__all__ = ["MOST_GROUPS", "count", "left_out", "results"]

MOST_GROUPS = 20
FEW = 8
"""Plans of a group that a narrow screen shows until all are asked for, those on the front first:
there each is a card of its own, and sixty of them are twenty screens."""
EVIDENCE = {"measured": "✓", "documented": "¶"}
"""The sign of each kind of evidence, beside its word."""

HEADS = (
    ("Plan", "plan"),
    ("Weights", "memory"),
    ("Peak", "peak"),
    ("Latency", "latency"),
    ("Fidelity", "fidelity"),
    ("Newest", "newest"),
)
"""Heads of a table's columns, and what each sorts by."""


def results(groups: Sequence[Group], order: str, models: dict[str, str], *, any_own: bool) -> str:
    """All groups, the first one open; one sentence where there is none.

    ``models`` are names by id; ``any_own`` says whether the store holds anything at all.
    """
    hint = (
        ""
        if any_own
        else '<p class="ql-hint">Nothing of your own is kept yet: press Run in Compare, and '
        "what it measures appears here.</p>"
    )
    if not groups:
        return hint or (
            '<p class="ql-hint" role="status">Nothing recorded fits; choose “any” above or search '
            "for less.</p>"
        )
    sections = [
        _section(group, order, models, opened=index == 0)
        for index, group in enumerate(groups[:MOST_GROUPS])
    ]
    rest = len(groups) - MOST_GROUPS
    more = (
        f'<p class="ql-hint">{rest} more groups are not shown; narrow the choice above.</p>'
        if rest > 0
        else ""
    )
    return hint + "".join(sections) + more


def count(groups: Sequence[Group]) -> str:
    """How much is shown: ``3 groups, 41 plans, 215 runs``."""
    plans = sum(len(group.lines) for group in groups)
    runs = sum(group.runs for group in groups)
    return f"{many(len(groups), 'group')}, {many(plans, 'plan')}, {many(runs, 'row')}"


def left_out(limit: int, kept: int) -> str:
    """A sentence where more than ``limit`` results are ``kept``, of which only the newest show."""
    if kept <= limit:
        return ""
    return (
        f'<p class="ql-hint">The newest {limit} of {kept} stored results are shown; '
        "<code>python -m quantlab export</code> writes all of them.</p>"
    )


def _section(group: Group, order: str, models: dict[str, str], *, opened: bool) -> str:
    notes = []
    if group.one_picture:
        notes.append("Scores of one picture say nothing of others: nothing is ranked by them.")
    if group.has_fidelity and not group.same_pairs:
        notes.append(
            "These plans were run on different prompts and seeds: their fidelity compares only "
            "roughly."
        )
    if group.evidence == "measured" and not group.has_fidelity and len(group.lines) > 1:
        notes.append("Nothing here was held against a reference.")
    told = "".join(f'<p class="ql-warning">⚠ {note}</p>' for note in notes)
    return (
        f'<details class="ql-group" data-group="{group.key}"{" open" if opened else ""}>'
        f"<summary>{_summary(group, models)}</summary>{told}{plots(group)}"
        f"{_table(group, order)}{_source(group)}</details>"
    )


def _summary(group: Group, models: dict[str, str]) -> str:
    facts = described(group.settings)
    facts += [f"with {group.offload}"] if group.offload else []
    sign = EVIDENCE.get(group.evidence, "")
    where = [group.machine or "a machine"]
    if group.evidence == "measured":
        facts += [f"{group.pairs} pairs of prompt and seed"] if group.pairs > 1 else []
        where.append(when(group.measured_at))
    return (
        f'<span class="ql-group-name">{escape(models.get(group.model, group.model))}</span>'
        f'<span class="ql-pill is-{group.evidence}"><span aria-hidden="true">{sign}</span> '
        f"{escape(group.evidence)}</span>"
        f'<span class="ql-group-facts">{escape(", ".join(facts))}; '
        f"{many(len(group.lines), 'plan')}</span>"
        f'<span class="ql-group-where">{escape(", ".join(where))}</span>'
    )


def _source(group: Group) -> str:
    if group.url.startswith("https://"):
        return (
            f'<p class="ql-origin">{escape(_about_peak(group))}Source: '
            f'<a href="{escape(group.url)}" target="_blank" rel="noopener noreferrer">'
            f"{escape(group.source)}</a>, checked "
            f"{escape(group.checked)}.</p>"
        )
    versions = ", ".join(f"{name} {version}" for name, version in group.versions.items())
    spans = any(line.psnr_interval for line in group.lines)
    sure = " with the 95 % interval of PSNR; what overlaps is not ranked by it" if spans else ""
    held = f"Scores against {group.reference}, medians over the runs{sure}. {_about_peak(group)}"
    return (
        f'<p class="ql-origin">{escape(held)}Source: {escape(group.source)}. {escape(versions)}</p>'
    )


def _table(group: Group, order: str) -> str:
    heads = [pair for pair in HEADS if pair[1] not in _empty(group)]
    cells = "".join(_head(name, by, order) for name, by in heads)
    shown = {by for _, by in heads}
    few = sorted(group.lines, key=lambda line: not line.front)[:FEW]
    body = "".join(_row(line, group, shown, more=line not in few) for line in group.lines)
    whole = ""
    if len(group.lines) > FEW:
        whole = '<button type="button" class="ql-button ql-whole" data-whole-group>'
        whole += f"Show all {len(group.lines)} plans</button>"
    return (
        f'<div class="ql-scroll"><table class="ql-results" role="table">'
        '<caption class="ql-sr">Plans of this group; a plan\'s name opens its runs.</caption>'
        f'<thead role="rowgroup"><tr role="row">{cells}<th role="columnheader">'
        '<span class="ql-sr">Open</span></th></tr></thead>'
        f'<tbody role="rowgroup">{body}</tbody></table></div>{whole}'
    )


def _empty(group: Group) -> set[str]:
    """Columns that would say nothing in this group."""
    found = set() if group.by_weights else {"memory"}
    found |= set() if group.has_fidelity else {"fidelity"}
    return found if group.measured_at else found | {"newest"}


def _head(name: str, by: str, order: str) -> str:
    way = "descending" if by in ("newest", "fidelity") else "ascending"
    return (
        f'<th scope="col" role="columnheader" aria-sort="{way if by == order else "none"}">'
        f'<button type="button" data-by="{by}">{name}</button></th>'
    )


def _row(line: Line, group: Group, shown: set[str], *, more: bool) -> str:
    mixed = len(_peak_kinds(group)) > 1
    figures = {
        "memory": size(line.weights_bytes),
        "peak": _with_note(size(line.peak_bytes), _peak_kind(line) if mixed else ""),
        "latency": _with_note(seconds(line.latency_s), "busy machine" if line.busy else ""),
        "fidelity": _fidelity(line),
        "newest": escape(when(line.measured_at)),
    }
    labels = {by: name for name, by in HEADS}
    if line.failed and line.failed == line.runs:
        wide = sum(by in shown for by in figures)
        reason = f"✗ failed: {escape(line.error)}"
        cells = f'<td role="cell" colspan="{wide}" class="ql-failed">{reason}</td>'
    else:
        cells = "".join(
            f'<td role="cell" class="ql-number" data-label="{labels[by]}">{text}</td>'
            for by, text in figures.items()
            if by in shown
        )
    names = " ".join(["is-front"] * line.front + ["is-more"] * more)
    kind = f' class="{names}"' if names else ""
    link = open_link(line.results[0], line.plan) if line.results else ""
    return (
        f'<tr role="row" data-plan="{escape(line.plan)}"{kind}>{_name(line, group)}{cells}'
        f'<td role="cell" class="ql-open">{link}</td></tr>'
    )


def _name(line: Line, group: Group) -> str:
    key = escape(f"{group.key}|{line.role}|{line.plan}")
    front = (
        '<span class="ql-front" title="on the Pareto front">'
        '<span aria-hidden="true">◆</span> <span>front</span></span>'
        if line.front
        else ""
    )
    notes = {"reference": ["reference"], "again": ["run again"]}.get(line.role, [])
    if line.runs > 1:
        notes = [*notes, f"{line.runs} runs"]
    if 0 < line.failed < line.runs:
        notes = [*notes, f"{line.failed} failed"]
    name = f'<button type="button" class="ql-name" data-runs="{key}">{escape(line.plan)}</button>'
    return (
        f'<th scope="row" role="rowheader">{name}{front}'
        f'<span class="ql-method">{escape(", ".join(notes))}</span></th>'
    )


def _with_note(text: str, note: str) -> str:
    return f'{text}<span class="ql-share">{escape(note)}</span>' if note else text


def _peak_kind(line: Line) -> str:
    return PEAK_KINDS.get(line.peak_kind, line.peak_kind)


def _peak_kinds(group: Group) -> set[str]:
    return {_peak_kind(line) for line in group.lines if line.peak_kind}


def _about_peak(group: Group) -> str:
    kinds = _peak_kinds(group)
    return f"Peak: {kinds.pop()}. " if len(kinds) == 1 else ""


def _fidelity(line: Line) -> str:
    if line.fidelity is None:
        return "-"
    modes = modes_text(line.plan, across=line.across_modes)
    if line.psnr_db is None:
        same = math.isinf(line.fidelity) and not line.identical
        return _with_note("reference" if same else "identical", modes)
    scores = list(in_words(line.figures).values())
    notes = (between(line.psnr_interval), *scores[1:], modes)
    return _with_note(scores[0], ", ".join(filter(None, notes)))
