"""Foreign text as people may be shown it: nothing in it turns the rest of a line around."""

from __future__ import annotations

import re

__all__ = ["shown"]

_BIDI = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Unicode's bidirectional controls (UAX #9, 2): marks, embeddings, overrides and isolates."""


def shown(text: str) -> str:
    """``text`` with bidirectional controls by their numbers, such as ⟨U+202E⟩.

    Else one of them in a prompt shows what stands behind it, also of other people's text, in
    another order than it is stored.
    """
    return _BIDI.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", text)
