"""Time, predicted before anything is downloaded.

    values      what goes in and comes out
    cards       a card of data/gpus as its figures
    streams     a denoiser's work, counted from its modules
    form        the rule: seconds from FLOPs, bytes and waiting
    constants   the few numbers that were fitted, read from data/latency/constants.toml
    reasons     why there is no number
    predict     a time with its interval, or the reason why there is none
    published   what others saw where there is none
    pace        the same for a CPU, from two steps that were measured on it
    measured    runs that were measured on a card, indexed
    known       what was measured on the very device, handed in

``tools.latency_fit`` fits the constants, ``benchmarks.latency`` says how good they are.
"""

from __future__ import annotations

from quantlab.catalog.time.cards import card_of
from quantlab.catalog.time.constants import load_constants
from quantlab.catalog.time.known import NOTHING, Known
from quantlab.catalog.time.measured import Measured
from quantlab.catalog.time.pace import Pace, pace_from
from quantlab.catalog.time.predict import predict
from quantlab.catalog.time.streams import denoiser
from quantlab.catalog.time.texts import Basis, Reason
from quantlab.catalog.time.values import (
    Card,
    Denoiser,
    Encoder,
    MeasuredRun,
    Mode,
    Placement,
    Run,
    Seconds,
    Streams,
    Work,
)

__all__ = [
    "NOTHING",
    "Basis",
    "Card",
    "Denoiser",
    "Encoder",
    "Known",
    "Measured",
    "MeasuredRun",
    "Mode",
    "Pace",
    "Placement",
    "Reason",
    "Run",
    "Seconds",
    "Streams",
    "Work",
    "card_of",
    "denoiser",
    "load_constants",
    "pace_from",
    "predict",
]
