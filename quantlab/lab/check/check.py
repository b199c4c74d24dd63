"""Checks one piece of code: what it really does, what to write instead, what its plan needs.

It is parsed, never run and never imported. Nothing is fetched.
"""

from __future__ import annotations

import ast
import math
import time
from itertools import islice

from quantlab.catalog.gpus import Gpu
from quantlab.catalog.table import Catalog, load_catalog
from quantlab.lab.check.code.read import read
from quantlab.lab.check.code.text import Source, parse, strange, to_source
from quantlab.lab.check.every import every_rule
from quantlab.lab.check.finding import SEVERITIES, Finding, Report
from quantlab.lab.check.fits import predicted
from quantlab.lab.check.mend import applied, changed_lines
from quantlab.lab.check.messages import recognised
from quantlab.lab.check.plan import plan_of
from quantlab.lab.check.rule import Hit, Rule
from quantlab.lab.check.uses import Code

__all__ = ["check_text"]

MOST = 100
"""Hits of one rule that are told."""
PATIENCE = 0.5
"""Seconds after which mended code is not looked at once more."""
LIMIT = 2.0
"""Seconds after which no further rule is asked."""
ROUNDS = 3
"""A fix can bring to light what stood behind it."""
GRAMMAR = "https://docs.python.org/3/reference/grammar.html"


def check_text(
    text: str,
    name: str = "code",
    *,
    gpu: Gpu | None = None,
    catalog: Catalog | None = None,
    limit: float = LIMIT,
) -> Report:
    """What is to be said about ``text``; ``name`` is what the findings call its file.

    Code that takes longer than ``limit`` seconds is not looked at whole, and a finding says so.

    Raises:
        InputError: it is too long, or a notebook that cannot be read.
    """
    end = time.monotonic() + limit
    source = to_source(text, name)
    if messages := recognised(text, name):
        return Report(name, messages)
    tree = strange(text) or parse(source)
    if isinstance(tree, SyntaxError):
        return Report(name, (_broken(source, tree),))
    code = Code(read(tree), catalog or load_catalog(), source.text, gpu)
    findings = _findings(code, source, end)
    if time.monotonic() > end:
        return Report(name, (*findings, _cut_short(source, limit)))
    fixed = _fixed(source, findings, code)
    told = plan_of(_again(fixed, code) if fixed is not None else code)
    needs = predicted(told, gpu, code.catalog)
    return Report(
        name,
        findings,
        plan=told.plan,
        model=told.model.id if told.model is not None else None,
        fixed=fixed,
        predicted=needs.as_dict() if needs is not None else None,
    )


def _again(text: str, code: Code) -> Code:
    """The same question about mended code, whose plan is the one that is meant."""
    tree = parse(Source(text, ""))
    assert isinstance(tree, ast.Module)
    return Code(read(tree), code.catalog, text, code.gpu)


def _findings(code: Code, source: Source, end: float = math.inf) -> tuple[Finding, ...]:
    """What the rules find until the clock shows ``end``."""
    found = []
    for rule in every_rule():
        for hit in islice(rule.find(code), MOST):
            found.append(_finding(rule, hit, source))
            if time.monotonic() > end:
                break
        if time.monotonic() > end:
            break
    order = {severity: index for index, severity in enumerate(SEVERITIES)}
    unique = {(f.line, f.code, f.message): f for f in found}
    return tuple(sorted(unique.values(), key=lambda f: (order[f.severity], f.line, f.code)))


def _finding(rule: Rule, hit: Hit, source: Source) -> Finding:
    edits = tuple(edit for edit in hit.edits if edit is not None)
    whole = len(edits) == len(hit.edits)
    fix = changed_lines(source.text, edits) if edits and whole else None
    return Finding(
        file=source.name,
        line=hit.node.lineno,
        severity=hit.severity or rule.severity,
        code=rule.code,
        message=f"{hit.what} {rule.why}",
        source=rule.source,
        fix=fix,
        edits=edits if whole else (),
    )


def _fixed(source: Source, findings: tuple[Finding, ...], code: Code) -> str | None:
    """The code with every fix in it, and with those that show once the first are made."""
    text, end = source.text, time.monotonic() + PATIENCE
    for turn in range(ROUNDS):
        if turn and time.monotonic() > end:
            break
        edits = [edit for finding in findings for edit in finding.edits]
        if not edits:
            break
        text = applied(text, edits)
        tree = parse(Source(text, source.name))
        if isinstance(tree, SyntaxError):  # two fixes that do not go together: none is offered
            return None
        findings = _findings(
            Code(read(tree), code.catalog, text, code.gpu), Source(text, source.name)
        )
    return _once(text, source.text) if text != source.text else None


def _once(text: str, before: str) -> str:
    """``text`` without imports that two fixes brought along."""
    seen, kept = set(), []
    for line in text.split("\n"):
        is_import = line.startswith(("import ", "from "))
        if not is_import or line not in seen or line in before:
            kept.append(line)
        seen.add(line)
    return "\n".join(kept)


def _broken(source: Source, error: SyntaxError) -> Finding:
    return Finding(
        file=source.name,
        line=error.lineno or 1,
        severity="error",
        code="syntax-error",
        message=f"Python cannot read this: {error.msg}.",
        source=GRAMMAR,
    )


def _cut_short(source: Source, limit: float) -> Finding:
    return Finding(
        file=source.name,
        line=1,
        severity="note",
        code="not-whole",
        message=f"Only a part was looked at: it takes longer than {limit:g} s. Check it in pieces.",
        source=GRAMMAR,
    )
