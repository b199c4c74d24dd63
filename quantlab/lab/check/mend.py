"""Changes to code that leave the rest of it as it was written."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from functools import lru_cache

from quantlab.lab.check.code.values import Argument, Call
from quantlab.lab.check.finding import Edit

__all__ = [
    "add_argument",
    "add_import",
    "applied",
    "changed_lines",
    "drop",
    "drop_statement",
    "rename",
    "replace",
]


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


def add_argument(call: Call, text: str) -> Edit:
    """The call with one argument more, at its end."""
    nodes: list[ast.expr | ast.keyword] = sorted([*call.node.args, *call.node.keywords], key=_start)
    if nodes:
        return Edit(_end(nodes[-1]), _end(nodes[-1]), f", {text}")
    line, column = _end(call.node)
    return Edit((line, column - 1), (line, column - 1), text)


def drop_statement(tree: ast.Module, inner: ast.AST) -> Edit | None:
    """The code without the whole statement that ``inner`` is, if that is all it does."""
    node, alone = _statements(tree).get(inner, (None, False))
    if node is None:
        return None
    if alone:
        return replace(node, "pass")
    return Edit((node.lineno, 0), ((node.end_lineno or node.lineno) + 1, 0), "")


@lru_cache(maxsize=4)
def _statements(tree: ast.Module) -> dict[ast.AST, tuple[ast.Expr, bool]]:
    """Expression -> the statement that it is, and whether its block has no other."""
    return {
        node.value: (node, len(block) == 1 and block is not tree.body)
        for block in _blocks(tree)
        for node in block
        if isinstance(node, ast.Expr)
    }


def add_import(tree: ast.Module, line: str) -> Edit:
    """``line`` behind the imports that the code begins with; nothing where it is there."""
    imports, last = _imports(tree)
    if line in imports:
        return Edit((1, 0), (1, 0), "")
    return Edit((last + 1, 0), (last + 1, 0), f"{line}\n")


@lru_cache(maxsize=4)
def _imports(tree: ast.Module) -> tuple[frozenset[str], int]:
    """Every import of the module, and the last line of those that it begins with."""
    last = 0
    for node in tree.body:
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if not isinstance(node, ast.Import | ast.ImportFrom) and not is_text:
            break
        last = node.end_lineno or node.lineno
    found = (n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom))
    return frozenset(map(ast.unparse, found)), last


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


def changed_lines(text: str, edits: Sequence[Edit]) -> str:
    """The lines that ``edits`` touch, as they are with them, in the order of the code."""
    lines = _lines(text)
    parts = []
    for first, last, here in _regions(sorted(set(edits))):
        inserted = all(edit.start == edit.end and edit.start[1] == 0 for edit in here)
        region = b"" if inserted else b"".join(lines[first - 1 : last])
        moved = [replace_lines(edit, 1 - first) for edit in here]
        parts.append(applied(region.decode(), moved).rstrip("\n"))
    return "\n".join(part for part in parts if part.strip())


@lru_cache(maxsize=4)
def _lines(text: str) -> list[bytes]:
    return text.encode().splitlines(keepends=True)


def replace_lines(edit: Edit, by: int) -> Edit:
    """The same edit of a text that begins so many lines later or earlier."""
    (line, column), (end, last) = edit.start, edit.end
    return Edit((line + by, column), (end + by, last), edit.text)


def _regions(edits: Sequence[Edit]) -> Iterable[tuple[int, int, list[Edit]]]:
    """First line, last line and edits of every run of lines that they touch."""
    found: list[tuple[int, int, list[Edit]]] = []
    for edit in edits:
        first, last = edit.start[0], edit.end[0]
        if found and first <= found[-1][1] and edit.start[1] + edit.end[1]:
            begin, end, here = found.pop()
            found.append((begin, max(end, last), [*here, edit]))
        else:
            found.append((first, last, [edit]))
    return found


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
