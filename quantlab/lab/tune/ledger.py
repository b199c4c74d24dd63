"""What was measured so far, in a file beside the result: whoever is interrupted goes on there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quantlab.catalog.paths import whole_file
from quantlab.errors import StoreError

__all__ = ["Ledger"]


class Ledger:
    """Errors of schemes and effects of layers under one ``key``, which is all that decides them.

    What the file has under another key is let go.

    Raises:
        StoreError: the file cannot be written.
    """

    def __init__(self, path: Path, key: Mapping[str, Any]) -> None:
        self._path, self._key = path, json.loads(json.dumps(key))
        known = self._read()
        self.errors: dict[str, dict[str, float]] = known.get("errors", {})
        """Scheme -> layer -> error of its output."""
        self.effects: dict[str, tuple[str, float]] = {
            layer: (scheme, effect) for layer, (scheme, effect) in known.get("effects", {}).items()
        }
        """Layer -> the scheme that was tried on it, and its effect."""

    def learn_errors(self, scheme: str, errors: Mapping[str, float]) -> None:
        """Keep what ``scheme`` does to each layer's output."""
        self.errors[scheme] = dict(errors)
        self._write()

    def learn_effect(self, layer: str, scheme: str, effect: float) -> None:
        """Keep what a layer does to a step in ``scheme``."""
        self.effects[layer] = (scheme, effect)
        self._write()

    def _read(self) -> dict[str, Any]:
        try:
            known = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return dict(known) if isinstance(known, dict) and known.get("key") == self._key else {}

    def _write(self) -> None:
        document = {"key": self._key, "errors": self.errors, "effects": self.effects}
        try:
            with whole_file(self._path) as part:
                part.write_text(json.dumps(document), encoding="utf-8")
        except OSError as error:
            raise StoreError(f"{self._path} cannot be written: {error.strerror}") from None
