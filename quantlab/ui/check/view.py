"""What checking said, as HTML. Pure functions of a report; every text is escaped here."""

from __future__ import annotations

from html import escape

from quantlab.catalog.comparison import make_comparison
from quantlab.catalog.table import Catalog
from quantlab.errors import InputError
from quantlab.lab.check.finding import SEVERITIES, Finding, Report, Severity
from quantlab.record.link import to_query
from quantlab.words.units import size

__all__ = ["problem", "report"]

PROMPT = "a red fox in the snow, photograph"
"""Of the comparison that a plan is taken to."""
NAMED: dict[Severity, tuple[str, str]] = {
    "error": ("fails", "ql-pill is-no"),
    "silent": ("does something else", "ql-pill is-partial"),
    "warning": ("slow or risky", "ql-pill is-unknown"),
    "note": ("to know", "ql-pill is-runs-with-offload"),
}
"""A severity in words for people, and how it looks."""


def problem(message: str) -> str:
    """One sentence where the findings would be."""
    return f'<p class="ql-banner is-problem" role="alert">{escape(message)}</p>'


def report(found: Report, catalog: Catalog) -> str:
    """Everything: how many findings, the mended script, the plan, then each finding."""
    mended = _mended(found.fixed) if found.fixed is not None else ""
    items = "".join(_finding(each) for each in found.findings)
    listed = f'<ol class="ql-findings">{items}</ol>' if items else ""
    return f'<p class="ql-lead">{_counted(found)}</p>{_plan(found, catalog)}{mended}{listed}'


def _counted(found: Report) -> str:
    if not found.findings:
        return "Nothing was found that fails or does something else than it says."
    severities = [each.severity for each in found.findings]
    counts = ((severities.count(kind), NAMED[kind][0]) for kind in SEVERITIES)
    return f"<b>{', '.join(f'{count} {word}' for count, word in counts if count)}</b>"


def _mended(script: str) -> str:
    return (
        '<div class="ql-code ql-mended"><button type="button" class="ql-button is-primary" '
        'data-copy>Copy the mended code</button><span class="ql-hint" role="status"></span>'
        '<pre tabindex="0" role="region" aria-label="The mended code">'
        f"{escape(script)}</pre></div>"
    )


def _plan(found: Report, catalog: Catalog) -> str:
    if found.plan is None:
        return ""
    model = catalog.models.get(found.model or "")
    name = f" of {escape(model.name)}" if model is not None else ""
    needs = ""
    if found.predicted is not None:
        peak, host = int(found.predicted["peak_bytes"]), int(found.predicted["host_bytes"])
        needs = f": {size(peak)} at the peak, {size(host)} of host memory while loading, predicted"
        if where := found.predicted.get("placement"):
            needs += f"; on this card {escape(str(where)).replace('-', ' ')}"
    link = _link(found, catalog)
    return f'<p class="ql-hint">It stands for {escape(found.plan)}{name}{needs}. {link}</p>'


def _link(found: Report, catalog: Catalog) -> str:
    """The address that opens the plan beside the unquantized model; nothing runs by it."""
    model = catalog.models.get(found.model or "")
    if model is None or found.plan is None:
        return ""
    try:
        plans = list(dict.fromkeys((model.base_dtype, found.plan)))
        made = make_comparison(model=model.id, plans=plans, prompt=PROMPT, catalog=catalog)
    except InputError:
        return ""
    query = escape(to_query(made))
    return f'<a class="ql-button" href="?{query}">Compare it with the original</a>'


def _finding(found: Finding) -> str:
    word, look = NAMED[found.severity]
    fix = (
        f'<pre tabindex="0" role="region" aria-label="Instead of line {found.line}">'
        f"{escape(found.fix)}</pre>"
        if found.fix
        else ""
    )
    return (
        f'<li><span class="{look}">{word}</span> <b>line {found.line}</b> {escape(found.message)} '
        f'<a href="{escape(found.source)}" target="_blank" rel="noopener noreferrer">source</a> '
        f'<code class="ql-rule">{escape(found.code)}</code>{fix}</li>'
    )
