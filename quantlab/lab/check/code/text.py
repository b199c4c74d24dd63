"""Code as people have it: files, notebooks, fragments with prompts before their lines."""

from __future__ import annotations

import ast
import io
import json
import re
import textwrap
import tokenize
from dataclasses import dataclass

from quantlab.errors import InputError

__all__ = ["LONGEST", "Source", "decoded", "parse", "strange", "to_source"]

LONGEST = 200 * 1024
"""Bytes of UTF-8 that are read at most."""
_MAGIC = re.compile(r"^(\s*)([!%]|pip install |git clone )")
_PROMPT = re.compile(r"^\s*(>>> ?|\.\.\. ?|In \[\d+\]: ?|   \.\.\.: ?)")
_FENCE = re.compile(r"^\s*(```|~~~)")
_STRANGE = re.compile("[\x00\ud800-\udfff]")
_DIFF = re.compile(r"^([+-])(?![+-]{2})")


@dataclass(frozen=True)
class Source:
    """Python as it is read, line for line what was given."""

    text: str
    name: str


def to_source(text: str, name: str) -> Source:
    """The Python of a script, a notebook or a fragment; lines that are none become comments.

    Raises:
        InputError: it is too long, or a notebook that cannot be read.
    """
    if len(text.encode(errors="replace")) > LONGEST:
        raise InputError(name, f"is longer than {LONGEST // 1024} KB, which is all that is read")
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "")
    text = text.encode(errors="replace").decode().removeprefix("\ufeff")
    if name.endswith(".ipynb") or text.lstrip().startswith('{"cells"'):
        text = _notebook(text, name)
    return Source(_plain(text), name)


def decoded(data: bytes) -> str:
    """The text of a file as Python reads it: in the encoding that its first lines name, else in
    UTF-8. Bytes that are none of it become lone surrogates, which ``strange`` finds."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        return data.decode(encoding, errors="surrogateescape")
    except (SyntaxError, LookupError, UnicodeError):  # it names none that there is, or is not in it
        return data.decode(errors="surrogateescape")


def strange(text: str) -> SyntaxError | None:
    """What Python refuses before it reads any code, at its line; None where there is nothing."""
    found = _STRANGE.search(text)
    if found is None:
        return None
    line = text.count("\n", 0, found.start()) + 1
    what = "a NUL byte" if found[0] == "\x00" else "bytes that are not UTF-8"
    said = f"line {line} holds {what}, as of a file saved in another encoding; save it as UTF-8"
    return SyntaxError(said, ("<code>", line, 0, ""))


def parse(source: Source) -> ast.Module | SyntaxError:
    """The tree, or what is wrong with the code."""
    flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    try:
        tree = compile(source.text, "<code>", "exec", flags, dont_inherit=True)
    except SyntaxError as error:
        return error
    except (RecursionError, MemoryError, ValueError):
        return SyntaxError("it is nested too deeply to be read", ("<code>", 1, 0, ""))
    assert isinstance(tree, ast.Module)
    return tree


def _plain(text: str) -> str:
    lines = textwrap.dedent(text).split("\n")
    if any(line.lstrip().startswith((">>> ", "In [")) for line in lines):
        lines = [_prompted(line) for line in lines]
    if any(_FENCE.match(line) for line in lines):
        lines = _fenced(lines)
    if any(_DIFF.match(line) for line in lines) and not _parses(lines):
        lines = _undiffed(lines)
    return "\n".join(_unmagic(line) for line in lines)


def _prompted(line: str) -> str:
    found = _PROMPT.match(line)
    return line[found.end() :] if found else f"# {line}" if line.strip() else line


def _fenced(lines: list[str]) -> list[str]:
    """Of a text with code between fences the code alone."""
    inside, out = False, []
    for line in lines:
        if _FENCE.match(line):
            inside = not inside
            out.append("#")
        else:
            out.append(line if inside else "#")
    return out


def _parses(lines: list[str]) -> bool:
    try:
        ast.parse("\n".join(lines))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _undiffed(lines: list[str]) -> list[str]:
    """What a diff makes of the code; lines that it leaves alone may stand a space or two in."""
    tried = ([_after(line, before) for line in lines] for before in ("", " ", "  "))
    return next((each for each in tried if _parses(each)), lines)


def _after(line: str, before: str) -> str:
    if line.startswith(("-", "@@")):
        return f"# {line}"
    if line.startswith("+"):
        return line[1:].removeprefix(" ")
    return line.removeprefix(before)


def _unmagic(line: str) -> str:
    found = _MAGIC.match(line)
    return f"{found[1]}pass  # {line.strip()}" if found else line


def _notebook(text: str, name: str) -> str:
    try:
        cells = json.loads(text)["cells"]
        parts = [cell["source"] for cell in cells if cell["cell_type"] == "code"]
        return "\n\n".join("".join(p) if isinstance(p, list) else str(p) for p in parts)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise InputError(name, "is no notebook that can be read") from None
