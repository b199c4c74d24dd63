"""Where things lie, all relative to the project's root."""

from __future__ import annotations

from pathlib import Path

__all__ = ["EVALUATION", "MODEL", "ROOT", "WORK"]

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "data" / "flux-mini"
EVALUATION = "evaluation"
WORK = ROOT / ".work" / "flux-mini"
