"""Which smaller model to ask about, where nothing of a model stays near its picture on a device.

Of the models that can do as much (a picture of text, of pictures to go by, a video) and whose
weights are fewer, in the order of lists: the first of which a plan fits that stays "close" to its
own picture and does not travel layer by layer. Models whose denoiser takes more than the whole
device at a byte a weight are not asked about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from quantlab.catalog.answer.front import CLOSE, FARTHEST, LAST_RESORT, levels
from quantlab.catalog.answer.loss import band_of
from quantlab.catalog.schema import Model
from quantlab.catalog.sizes.weights import plain_bytes
from quantlab.catalog.table import Catalog
from quantlab.words.choice import Choice
from quantlab.words.units import gib

__all__ = ["instead"]


def instead(
    model: Model,
    choices: Sequence[Choice],
    device_bytes: int,
    catalog: Catalog,
    ask: Callable[[Model], Sequence[Choice]],
) -> str:
    """What to say where none of ``choices`` is nearer than "far", or there are none: how far they
    are, and which model would do; "" where they are near. ``ask`` gives the choices of a model."""
    nearest = min(choices, key=lambda choice: choice.loss.value, default=None)
    if nearest is not None and _level(nearest) >= levels()[FARTHEST]:
        return ""
    said = []
    if nearest is not None:
        far = f"{band_of(nearest.loss).word}, {nearest.loss.value:.0%} off in one step"
        said = [f"nothing of {model.name} that fits stays near its picture, the nearest is {far}"]
    for other in _smaller(model, device_bytes, catalog):
        first = next(iter(ask(other)), None)
        if first and _level(first) >= levels()[CLOSE] and first.placement != LAST_RESORT:
            way, peak = first.placement.replace("-", " "), gib(first.peak_bytes)
            said.append(f"{other.name} fits, {_word(first)}: {first.plan}, {way}, {peak}")
            break
    return "; ".join(said)


def _smaller(model: Model, device_bytes: int, catalog: Catalog) -> Iterator[Model]:
    most = _bytes(model)
    for other in sorted(catalog.models.values(), key=lambda each: (each.rank, each.id)):
        if other.local or other.own or not _does_as_much(other, model) or _bytes(other) >= most:
            continue
        if plain_bytes(other, other.denoiser, 1) <= device_bytes:
            yield other


def _does_as_much(other: Model, model: Model) -> bool:
    video = (one.defaults.frames is not None for one in (other, model))
    wanted = 1 if model.family.needs_reference else 0
    spare = other.family.needs_reference and not wanted
    return len(set(video)) == 1 and other.limits.max_references >= wanted and not spare


def _bytes(model: Model) -> int:
    """Weights of all that a picture needs, two bytes each."""
    needed = (c.name for c in model.components if c.name not in model.prompt_writers)
    return sum(plain_bytes(model, name, 2) for name in needed)


def _level(choice: Choice) -> int:
    return band_of(choice.loss).level


def _word(choice: Choice) -> str:
    if not choice.loss.value:
        return "unquantized"
    return f"{band_of(choice.loss).word} to what it draws unquantized"
