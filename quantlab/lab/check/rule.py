"""What a rule is: a function over code, with a code, a reason, a source and its versions."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from quantlab.lab.check.finding import Edit, Severity
from quantlab.lab.check.uses import Code

__all__ = ["Hit", "Rule", "rule"]


@dataclass(frozen=True)
class Hit:
    """A place in the code that a rule is about."""

    node: ast.expr | ast.stmt | ast.keyword | ast.alias
    what: str
    """What happens there, in a sentence."""
    edits: tuple[Edit | None, ...] = ()
    """The fix; None among them says that there is none."""
    severity: Severity | None = None
    """Where it is not the rule's own."""


Find = Callable[[Code], Iterator[Hit]]


@dataclass(frozen=True)
class Rule:
    """One thing that people run into."""

    code: str
    severity: Severity
    why: str
    """The reason, in a sentence or two, for every hit alike."""
    source: str
    """An address."""
    versions: Mapping[str, str]
    """Package -> versions it holds for, as pip writes them."""
    find: Find
    says: tuple[re.Pattern[str], ...] = field(default=())
    """What the libraries' message looks like, where it fails with one."""


def rule(
    code: str,
    severity: Severity,
    *,
    why: str,
    source: str,
    versions: Mapping[str, str],
    says: tuple[str, ...] = (),
) -> Callable[[Find], Rule]:
    """Makes a rule of the function that finds its hits."""

    def make(find: Find) -> Rule:
        return Rule(code, severity, why, source, versions, find, tuple(map(re.compile, says)))

    return make
