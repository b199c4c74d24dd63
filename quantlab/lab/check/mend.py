"""Changes to code that leave the rest of it as it was written."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterable, Sequence

from quantlab.lab.check.finding import Edit
from quantlab.lab.check.values import Argument, Call

__all__ = ["add_import", "applied", "changed_lines", "drop", "drop_statement", "rename", "replace"]


def replace(node: ast.expr | ast.stmt | ast.keyword | ast.alias, text: str) -> Edit:
    """``text`` instead of what ``node`` is written as."""
    return Edit(_start(node), _end(node), text)


def rename(argument: Argument, name: str) -> Edit | None:
    """Another name for an argument, whether it is a keyword or a key of a dictionary."""
    named = argument.named
    if isinstance(named, ast.keyword) and named.arg is not None:
        line, column = _start(named)
        return Edit((line, column), (line, column + len(named.arg.encode())), name)
    return replace(named, f'"{name}"') if isinstance(named, ast.Constant) else None


def drop(call: Call, argument: Argument) -> Edit | None:
    """The call without an argument that stands among its own."""
    nodes: list[ast.expr | ast.keyword] = sorted([*call.node.args, *call.node.keywords], key=_start)
    wanted = argument.named if isinstance(argument.named, ast.keyword) else argument.node
    if wanted not in nodes:
        return None
    index = nodes.index(wanted)
    if index + 1 < len(nodes):
        return Edit(_start(wanted), _start(nodes[index + 1]), "")
    if index:
        return Edit(_end(nodes[index - 1]), _end(wanted), "")
    return Edit(_start(wanted), _end(wanted), "")


def drop_statement(tree: ast.Module, inner: ast.AST) -> Edit | None:
    """The code without the whole statement that ``inner`` is, if that is all it does."""
    for block in _blocks(tree):
        for node in block:
            if isinstance(node, ast.Expr) and node.value is inner:
                if len(block) == 1 and block is not tree.body:
                    return replace(node, "pass")
                return Edit((node.lineno, 0), ((node.end_lineno or node.lineno) + 1, 0), "")
    return None


def add_import(tree: ast.Module, line: str) -> Edit:
    """``line`` behind the imports that the code begins with."""
    last = 0
    for node in tree.body:
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if not isinstance(node, ast.Import | ast.ImportFrom) and not is_text:
            break
        last = node.end_lineno or node.lineno
    return Edit((last + 1, 0), (last + 1, 0), f"{line}\n")


def applied(text: str, edits: Iterable[Edit]) -> str:
    """``text`` with the edits made; of those that overlap the first stays."""
    lines = text.encode().splitlines(keepends=True)
    starts = [0]
    for each in lines:
        starts.append(starts[-1] + len(each))
    whole = b"".join(lines)
    if whole and not whole.endswith(b"\n"):
        whole += b"\n"
        starts[-1] += 1
    out, at = [], 0
    for edit in sorted(set(edits)):
        begin, end = _offset(starts, edit.start), _offset(starts, edit.end)
        if begin < at or end < begin:
            continue
        out += [whole[at:begin], edit.text.encode()]
        at = end
    return b"".join([*out, whole[at:]]).decode()


def changed_lines(before: str, after: str) -> str:
    """The lines of ``after`` that are not in ``before``, one block after the other."""
    old, new = before.splitlines(), after.splitlines()
    moves = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    return "\n".join(line for tag, _, _, j, k in moves if tag != "equal" for line in new[j:k])


def _offset(starts: Sequence[int], place: tuple[int, int]) -> int:
    line, column = place
    return starts[-1] if line > len(starts) - 1 else starts[line - 1] + column


def _blocks(tree: ast.Module) -> Iterable[list[ast.stmt]]:
    for node in ast.walk(tree):
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            if isinstance(block, list):
                yield block


def _start(node: ast.expr | ast.stmt | ast.keyword | ast.alias) -> tuple[int, int]:
    return node.lineno, node.col_offset


def _end(node: ast.expr | ast.stmt | ast.keyword | ast.alias) -> tuple[int, int]:
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    return node.end_lineno, node.end_col_offset
