"""Links: a comparison as the query of a URL, and back. Pure functions, no state, no network.

A link of version 1 has these plain keys, in this order::

    v=1&model=flux-mini&plans=fp32~bnb-nf4&prompt=a%20red%20fox&seed=1&steps=8
    &guidance=3.5&width=256&height=256&sequence_length=64

Plans are parted by ``~``: RFC 3986 (2.3) calls it unreserved, so no mail program, proxy or browser
gives it a meaning or has to escape it, and ids are kebab-case, so no plan contains it. The first
plan is the reference. ``v``, ``model``, ``plans`` and ``prompt`` must be there; a missing number
takes the model's default. What ``to_query`` writes is always complete, so that a later change of
defaults does not change what an old link stands for. Optional settings stand at the end of the
links of comparisons that have them, ``lora`` and ``lora_weight`` for instance, and in no other.

A link never names a folder, a revision or a file, and reading one starts nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import quote, unquote_to_bytes, urlsplit, urlunsplit

from quantlab.catalog.comparison import make_comparison
from quantlab.catalog.table import Catalog
from quantlab.errors import InputError
from quantlab.words.comparison import Comparison
from quantlab.words.settings import SETTINGS, Value

__all__ = [
    "IGNORED_KEYS",
    "KEYS",
    "MAX_QUERY_BYTES",
    "NOT_CARRIED",
    "OPTIONAL_KEYS",
    "PLAN_SEPARATOR",
    "VERSION",
    "Query",
    "from_query",
    "from_url",
    "result_id",
    "result_url",
    "to_query",
    "to_url",
]

VERSION = "1"
KEYS = ("v", "model", "plans", *(row.key for row in SETTINGS if not row.optional))
"""Of every link, in its order."""
OPTIONAL_KEYS = tuple(row.key for row in SETTINGS if row.optional)
REQUIRED = ("model", "plans", *(row.key for row in SETTINGS if row.required))
PLAN_SEPARATOR = "~"
FLAG = "1"
"""The value of a flag that is given; one that is not has no key."""
NOT_CARRIED = (
    "the pictures to go by do not travel: the link has their digests alone, and whoever opens it "
    "needs the same files"
)
"""What is said of the link of a comparison that goes by pictures."""
MAX_QUERY_BYTES = 16 * 1024
"""Enough for the longest valid comparison: 1000 characters of prompt at 12 bytes each."""

IGNORED_KEYS = (
    *("__theme", "__sign", "view", "page", "deep_link", "session_hash"),  # Gradio's own
    *("logs",),  # a Space's page
    *("embed",),  # the stage alone, for the pages of others
    *("run",),  # a job of the page that is under way, found again when it is loaded anew
    *("fbclid", "gclid", "utm_source", "utm_medium", "utm_campaign"),  # added by who passes it on
)
"""Keys that a page may carry beside ours; they mean nothing here and their values are not read."""

RESULT_KEY = "r"
_RESULT_ID = re.compile(r"[A-Za-z0-9_-]{8,32}")
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_WHOLE = re.compile(r"-?[0-9]+")
_DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?", re.IGNORECASE)
_MAX_DIGITS = 18
_READABLE = ",=@~"
"""Left as they are inside a value; all legal there (RFC 3986, 3.4)."""

Query = str | Mapping[str, str] | Iterable[tuple[str, str]]
"""A raw query string, or pairs that somebody else has decoded already."""


def to_query(comparison: Comparison) -> str:
    """The complete query of a comparison, without ``?``; ``from_query`` gives it back exactly."""
    plans = PLAN_SEPARATOR.join(str(plan) for plan in comparison.plans)
    values = (("v", VERSION), ("model", comparison.model), ("plans", plans))
    pairs = [*values, *((key, _written(value)) for key, value in comparison.settings)]
    return "&".join(f"{key}={quote(value, safe=_READABLE)}" for key, value in pairs)


def _written(value: Value) -> str:
    if isinstance(value, bool):
        return FLAG
    return repr(value) if isinstance(value, float) else str(value)


def to_url(base_url: str, comparison: Comparison) -> str:
    """The page at ``base_url`` opened on this comparison.

    Query and fragment of ``base_url`` are dropped: on a private Space they hold a signature that
    must not be passed on.

    Raises:
        InputError: ``base_url`` is not a URL.
    """
    return _with_query(base_url, to_query(comparison))


def result_url(base_url: str, result: str) -> str:
    """The page at ``base_url`` opened on one stored result.

    Raises:
        InputError: ``base_url`` is not a URL, or ``result`` is not the id of a result.
    """
    return _with_query(base_url, f"{RESULT_KEY}={_check_result_id(result)}")


def from_query(query: Query, catalog: Catalog | None = None) -> Comparison | None:
    """The comparison a query stands for, or None where it has none of our keys.

    Hand over the raw query string where there is one: servers replace invalid UTF-8 before they
    give out decoded pairs, and a mapping has lost repeated keys. In pairs a replacement character
    (U+FFFD) is therefore taken as damage.

    Raises:
        InputError: names the part that is wrong: an unknown version or key, a missing or repeated
            key, an unknown model, scheme or component, a number out of range, text that is not
            UTF-8, a query over ``MAX_QUERY_BYTES``.
    """
    pairs = [(key, value) for key, value in _pairs(query) if key not in IGNORED_KEYS]
    if not any(key in (*KEYS, *OPTIONAL_KEYS) for key, _ in pairs):
        return None
    values = _checked(pairs, decoded=not isinstance(query, str))
    given = {
        row.key: _READ[row.kind](row.key, values[row.key]) for row in SETTINGS if row.key in values
    }
    return make_comparison(
        model=values["model"],
        plans=values["plans"].split(PLAN_SEPARATOR),
        catalog=catalog,
        **given,
    )


def from_url(url: str, catalog: Catalog | None = None) -> Comparison:
    """The comparison a whole URL stands for.

    Raises:
        InputError: as ``from_query``; also where this is not a URL or holds no comparison.
    """
    try:
        query = urlsplit(url).query
    except ValueError as error:
        raise InputError("link", "is not a URL") from error
    comparison = from_query(query, catalog)
    if comparison is None:
        raise InputError("link", "holds no comparison; one starts with ?v=1&model=...")
    return comparison


def result_id(query: Query) -> str | None:
    """The id in a result link (``r=ID``), or None where there is none.

    Raises:
        InputError: the id is malformed or given twice, or the query is too long.
    """
    values = [value for key, value in _pairs(query) if key == RESULT_KEY]
    if len(values) > 1:
        raise InputError(RESULT_KEY, "is given twice")
    return _check_result_id(values[0]) if values else None


def _check_result_id(text: str) -> str:
    if not _RESULT_ID.fullmatch(text):
        raise InputError(RESULT_KEY, f"{_show(text)} is not the id of a result")
    return text


def _with_query(base_url: str, query: str) -> str:
    try:
        scheme, netloc, path, _, _ = urlsplit(base_url)
    except ValueError as error:
        raise InputError("base", f"{_show(base_url)} is not a URL") from error
    if scheme not in ("http", "https") or not netloc:
        raise InputError("base", f"{_show(base_url)} is not the address of a page")
    return urlunsplit((scheme, netloc, path or "/", query, ""))


def _pairs(query: Query) -> list[tuple[str, str]]:
    """Keys decoded, values as they came: a value that nobody reads may be anything."""
    if not isinstance(query, str):
        pairs = list(query.items() if isinstance(query, Mapping) else query)
        size = sum(len(f"{key}{value}".encode("utf-8", "surrogatepass")) for key, value in pairs)
    else:
        size = len(query.encode("utf-8", "surrogatepass"))
        pieces = query.removeprefix("?").split("&") if size <= MAX_QUERY_BYTES else []
        split = [piece.partition("=") for piece in pieces if piece]
        pairs = [(_decode("link", key), value) for key, _, value in split]
    if size > MAX_QUERY_BYTES:
        raise InputError("link", f"{size} bytes; at most {MAX_QUERY_BYTES} are allowed")
    return pairs


def _checked(pairs: list[tuple[str, str]], *, decoded: bool) -> dict[str, str]:
    """Our keys, each once, with decoded values. The version comes first: it rules the others."""
    raw = dict(reversed(pairs))
    version = _value("v", raw["v"], decoded) if "v" in raw else None
    if version is None:
        raise InputError("v", f"is missing; a link of this version has v={VERSION}")
    if version != VERSION:
        raise InputError("v", f"unknown version {_show(version)}; this page reads {VERSION}")
    values: dict[str, str] = {}
    known = (*KEYS, *OPTIONAL_KEYS)
    for key, value in pairs:
        if key not in known:
            raise InputError("link", f"unknown key {_show(key)}; known: {', '.join(known)}")
        if key in values:
            raise InputError(key, "is given twice")
        values[key] = _value(key, value, decoded)
    for key in REQUIRED:
        if key not in values:
            raise InputError(key, "is missing")
    return values


def _value(key: str, value: str, decoded: bool) -> str:
    if not decoded:
        return _decode(key, value)
    if "\N{REPLACEMENT CHARACTER}" in value:
        raise InputError(key, "is not UTF-8 text")
    return value


def _decode(part: str, text: str) -> str:
    """Strict percent decoding; a plus sign is a space, as forms write it."""
    if _BROKEN_ESCAPE.search(text):
        raise InputError(part, "holds a broken percent escape")
    try:
        return unquote_to_bytes(text.replace("+", " ")).decode("utf-8")
    except UnicodeError as error:
        raise InputError(part, "is not UTF-8 text") from error


def _whole(part: str, text: str) -> int:
    """ASCII digits only: int() also takes spaces, underscores and the digits of other scripts."""
    if not _WHOLE.fullmatch(text):
        raise InputError(part, f"{_show(text)} is not a whole number")
    if len(text) > _MAX_DIGITS:
        raise InputError(part, f"{_show(text)} is out of range")
    return int(text)


def _decimal(part: str, text: str) -> float:
    if not _DECIMAL.fullmatch(text):
        raise InputError(part, f"{_show(text)} is not a number")
    return float(text)


def _flag(part: str, text: str) -> bool:
    if text != FLAG:
        raise InputError(part, f"{_show(text)}; {FLAG} is allowed, or nothing at all")
    return True


_READ: Mapping[str, Callable[[str, str], Value]] = {
    "text": lambda _, text: text,
    "whole": _whole,
    "number": _decimal,
    "flag": _flag,
}


def _show(text: str) -> str:
    """Foreign text as it may appear in a message: quoted, printable and short."""
    return repr(text if len(text) <= 40 else text[:37] + "...")
