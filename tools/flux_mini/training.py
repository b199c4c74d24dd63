"""What both training stages share: schedule, averaged weights, checkpoints, progress.

Every step draws its data and noise from a generator seeded with (seed, step), so a checkpoint
needs no generator state: killed and run again, a stage goes on with the same numbers.
"""

from __future__ import annotations

import math
import os
import random
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tools.flux_mini.curve import write_curve

__all__ = ["Progress", "Run", "draw_for", "learning_rate", "noise_for"]


def draw_for(seed: int, step: int) -> random.Random:
    """Source of data choices of one step."""
    return random.Random(f"{seed}/{step}")


def noise_for(seed: int, step: int) -> torch.Generator:
    """Source of noise of one step, on the CPU whatever the device, so that runs agree."""
    return torch.Generator().manual_seed(seed * 1_000_003 + step)


def learning_rate(step: int, steps: int, peak: float, warmup: int) -> float:
    """Linear warm-up, then half a cosine down to zero at `steps`.

    Depends on nothing but the two step counts: a run resumed with fewer `steps` takes the
    tail of the shorter cosine.
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return peak * 0.5 * (1.0 + math.cos(math.pi * min(1.0, done)))


@dataclass
class Run:
    """Models in training, their averaged copies and the optimizer."""

    models: nn.ModuleDict
    averaged: nn.ModuleDict
    optimizer: torch.optim.Optimizer
    checkpoint: Path
    decay: float
    step: int = 0
    losses: list[float] = field(default_factory=list)

    def average(self) -> None:
        """Move the averaged weights towards the trained ones; faster in the first steps."""
        decay = min(self.decay, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            pairs = zip(self.averaged.parameters(), self.models.parameters(), strict=True)
            for slow, fast in pairs:
                slow.lerp_(fast, 1.0 - decay)

    def save(self) -> None:
        """Write the checkpoint in one rename."""
        state = {
            "models": self.models.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "losses": self.losses,
        }
        fresh = self.checkpoint.with_suffix(".new")
        torch.save(state, fresh)
        os.replace(fresh, self.checkpoint)

    def resume(self) -> None:
        """Load the checkpoint where there is one."""
        if not self.checkpoint.exists():
            return
        state: dict[str, Any] = torch.load(self.checkpoint, weights_only=True)
        self.models.load_state_dict(state["models"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.losses = state["step"], state["losses"]
        print(f"resumed {self.checkpoint} at step {self.step}", flush=True)


class Progress:
    """Prints loss and time left, saves checkpoints and draws the loss curve as time goes by."""

    def __init__(self, run: Run, steps: int, curve: Path, save_every_s: float = 120.0) -> None:
        self._run, self._steps, self._curve = run, steps, curve
        self._save_every_s = save_every_s
        self._start_step = run.step
        self._start_s = self._saved_s = self._said_s = time.monotonic()

    def tick(self, loss: float) -> None:
        """Note the loss of the step just done."""
        run, now = self._run, time.monotonic()
        run.losses.append(loss)
        last = run.step >= self._steps
        if last or now - self._said_s > 15.0:
            self._said_s = now
            pace_s = (now - self._start_s) / max(1, run.step - self._start_step)
            recent = run.losses[-100:]
            print(
                f"step {run.step}/{self._steps}  loss {sum(recent) / len(recent):.4f}  "
                f"{pace_s:.2f} s/step  {pace_s * (self._steps - run.step) / 60:.1f} min left",
                flush=True,
            )
        if last or now - self._saved_s > self._save_every_s:
            self._saved_s = now
            run.save()
            write_curve(run.losses, self._curve)
