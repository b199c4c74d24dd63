"""Which card is meant: from what people type, and from what a machine says of its device.

The rule. A text is cut into words between letters and digits (``4060ti`` is ``4060`` and ``ti``);
a number before GB is the memory, and the bare size of a card may be. A card is meant when its id,
or one of its aliases, has all the words; vendor words (``geforce``, ``rtx``, ``radeon``) may be
there or not. Of several the nearest are meant: those that the text leaves the fewest words out of,
so ``4070 ti`` is no 4070 Ti SUPER, and ``4080`` no laptop. A word that no card has is read as the
closest that one has (difflib); numbers are never corrected, since 4080 is no misspelt 4090. There
are no weights.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache

from quantlab.catalog.gpus.cards import Gpu, load_gpus
from quantlab.errors import InputError

__all__ = ["choose", "choose_one", "find", "find_all", "recognise"]

_FAMILIES = {
    "NVIDIA": ("nvidia", "geforce", "rtx", "gtx", "tesla"),
    "AMD": ("amd", "radeon", "rx", "instinct"),
    "Intel": ("intel", "arc"),
    "Apple": ("apple",),
}
"""Words that every card of a vendor may carry, and nobody needs to type."""
_SYNONYMS = {"mac": "apple", "macbook": "apple", "imac": "apple"} | dict.fromkeys(
    ("mobile", "notebook"), "laptop"
)
# fmt: off
_NOISE = frozenset((
    "gpu", "card", "graphics", "memory", "vram", "ram", "unified", "silicon", "desktop", "edition",
    "generation", "design", "with", "mini", "studio", "air", "tm", "corporation", "gb", "gib", "r",
    "hbm", "sxm",
))
# fmt: on
"""Words that tell no card from another."""
_CORRECTABLE = 3
"""Words of fewer letters are not corrected: too many others are one letter away."""
_CUTOFF = 0.65
"""difflib's ratio of words of three letters that differ in one is 0.67."""
_MEMORY = re.compile(r"(\d+)\s*gi?b(?![a-z])|(?<![a-z0-9])(\d+)\s*g(?![a-z0-9])")
_MODULE = re.compile(r"hbm\d\w?|sxm\d?")
"""Kinds of memory and of socket that drivers put into a name."""
_MOST_NAMED = 10
_LONGEST = 100
"""Characters; no card has a longer name."""
_TOLERANCE = 0.1
"""What a total may differ from a card's, as a share: ECC and Windows make up to 9 % of it (a T4
there tells 15.8 GiB, https://github.com/lllyasviel/FramePack/issues/608)."""


SEVERAL = (
    "{}: a plan is run and predicted on one card; name one of them. diffusers spreads a pipeline "
    'over several by device_map="balanced", whole components at a time, so that the largest must '
    "fit one card all the same, and takes no offload beside it"
)
"""https://github.com/huggingface/diffusers/blob/v0.42.1/docs/source/en/training/distributed_inference.md
and pipeline_loading_utils.py, _assign_components_to_devices, of the same version."""


@dataclass(frozen=True)
class _Spelling:
    """One way of naming a card: the words that tell it from others, and those that may be there."""

    needed: frozenset[str]
    allowed: frozenset[str]


def find(text: str) -> tuple[Gpu, ...]:
    """The cards that ``text`` may mean, smallest first: one where it is clear, none where no card
    of that name is listed. An id always means its card."""
    if exact := load_gpus().get(text.strip().lower()):
        return (exact,)
    size, words = _read(text)
    if len(text) > _LONGEST or (size is None and not words):
        return ()
    return _matching([_meant(word) for word in words], size)


def choose(text: str, part: str = "gpu") -> Gpu:
    """The one card that ``text`` means.

    Raises:
        InputError: on ``part``; names the candidates where several are meant, and the nearest
            where none is.
    """
    found = find(text)
    if len(found) == 1:
        return found[0]
    if found:
        ids = [gpu.id for gpu in found]
        more = f" and {len(ids) - _MOST_NAMED} more" if len(ids) > _MOST_NAMED else ""
        named = ", ".join(ids[:_MOST_NAMED])
        raise InputError(part, f"{text!r:.60} may be {named}{more}; name one of them")
    near = get_close_matches(text.strip().lower()[:_LONGEST], list(load_gpus()), n=3, cutoff=0.5)
    nearest = f" (nearest: {', '.join(near)})" if near else ""
    raise InputError(
        part, f"{text!r:.60} is not listed: choose its hardware and memory instead{nearest}"
    )


def find_all(text: str, part: str = "gpu") -> tuple[Gpu, ...]:
    """The cards of a list such as ``4090,4090``, in its order; one name is a list of one.

    Raises:
        InputError: as ``choose``, or a name is empty.
    """
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise InputError(part, f"{text!r:.60}: expected a card, or several parted by commas")
    return tuple(choose(name, part) for name in names)


def choose_one(text: str, part: str = "gpu") -> Gpu:
    """The card that a plan is held against, where ``text`` may be a list.

    Raises:
        InputError: as ``find_all``, or several cards are named.
    """
    found = find_all(text, part)
    if len(found) > 1:
        raise InputError(part, SEVERAL.format(", ".join(gpu.id for gpu in found)))
    return found[0]


def recognise(name: str, total_bytes: int) -> Gpu | None:
    """The card that calls itself ``name`` and has ``total_bytes``, as
    ``torch.cuda.get_device_properties`` says; for Apple silicon all memory of the machine.

    None where the name is not listed, or no card of it has about that much memory (a MIG slice, a
    board with its memory doubled).
    """
    _, words = _read(name)  # the total decides: a GH200 is named by its processor's memory
    if not any(words & spelling.needed for _, all_of in _spelled() for spelling in all_of):
        return None
    off = {gpu.id: _off(gpu, total_bytes) for gpu in _matching([{word} for word in words], None)}
    best = min(off, key=lambda card: (off[card], card), default=None)
    return load_gpus()[best] if best is not None and off[best] <= _TOLERANCE else None


def _off(gpu: Gpu, total_bytes: int) -> float:
    """By what share of the card's own memory a total is off."""
    own = gpu.memory_gb * 2**30 if gpu.kind == "metal" else gpu.bytes
    return abs(total_bytes - own) / own


def _matching(words: Sequence[AbstractSet[str]], size: int | None) -> tuple[Gpu, ...]:
    """The cards with one reading of each word and memory of ``size`` GB, smallest first.

    Where a word tells one card from another, only those that the words leave least out of.
    """
    said = frozenset(reading for word in words for reading in word)
    left: dict[str, int] = {}
    telling = False
    for gpu, spellings in _spelled():
        if size is not None and gpu.memory_gb != size:
            continue
        fits = [s for s in spellings if all(word & (s.needed | s.allowed) for word in words)]
        if fits:
            left[gpu.id] = min(len(s.needed - said) for s in fits)
            telling = telling or any(said & s.needed for s in fits)
    least = min(left.values(), default=0)
    cards = load_gpus()
    return tuple(cards[name] for name, count in left.items() if not telling or count == least)


def _read(text: str) -> tuple[int | None, frozenset[str]]:
    """The memory in GB that a text names, and its other words."""
    rest = _MODULE.sub(" ", text.lower().replace("(r)", " ").replace("(tm)", " "))
    sizes = [int(a or b) for a, b in _MEMORY.findall(rest)]
    return (sizes[-1] if sizes else None), frozenset(_words(_MEMORY.sub(" ", rest)))


def _words(text: str) -> Iterable[str]:
    for word in re.findall(r"[a-z]+|\d+", text.lower()):
        if word not in _NOISE:
            yield _SYNONYMS.get(word, word)


def _meant(word: str) -> frozenset[str]:
    """``word``, or what an unknown word of letters may be a misspelling of."""
    known = _vocabulary()
    if word in known or not word.isalpha() or len(word) < _CORRECTABLE:
        return frozenset({word})
    near = get_close_matches(word, sorted(known), n=3, cutoff=_CUTOFF)
    return frozenset(_SYNONYMS.get(other, other) for other in near) or frozenset({word})


@lru_cache(maxsize=1)
def _spelled() -> tuple[tuple[Gpu, tuple[_Spelling, ...]], ...]:
    """Every card with its spellings: its id without the memory, and its aliases."""
    found = []
    for gpu in load_gpus().values():
        family = frozenset(_FAMILIES.get(gpu.vendor, ()))
        allowed = family | _NOISE | {str(gpu.memory_gb)}
        texts = (gpu.id, *gpu.aliases)
        needed = (_read(text)[1] - family for text in texts)
        found.append((gpu, tuple(_Spelling(words, allowed) for words in needed)))
    return tuple(found)


@lru_cache(maxsize=1)
def _vocabulary() -> frozenset[str]:
    """Every word that means something, for corrections."""
    words = {word for _, all_of in _spelled() for s in all_of for word in s.needed | s.allowed}
    return frozenset(words) | frozenset(_SYNONYMS)
