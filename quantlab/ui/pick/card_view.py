"""What is proposed for a device, in words: at most three plans with memory, seconds and quality.

Pure functions of choices; every text is escaped here. The rules are those of
quantlab/catalog/answer/choices.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from quantlab.catalog.answer.loss import in_words
from quantlab.catalog.schema import Model
from quantlab.words.choice import Choice, Label
from quantlab.words.plan import Plan
from quantlab.words.units import GIB, size

__all__ = ["lead_of", "proposed"]

HEADS: dict[Label, str] = {
    "fastest": "Fastest",
    "best-picture": "Best picture",
    "smallest": "Smallest",
}
RULE = (
    "Of all plans that fit, those stay that no other beats in memory, time and loss at once. The "
    "fastest is the fastest whose picture stays close to the unquantized one, or as close as "
    "anything that fits; the best picture loses least; the smallest takes least of the device. "
    "Loss is measured on flux-mini, bytes and seconds are predicted."
)


def lead_of(asked: str, choice: Choice, model: Model) -> str:
    """The answer as one sentence; ``asked`` is who asks for what, such as "On a card"."""
    way = "" if choice.placement == "resident" else f" with {choice.placement.replace('-', ' ')}"
    time = f", {_seconds(choice)}" if choice.image_s else ""
    return (
        f"{escape(asked)}: <b>{_named(choice, model)}</b>; about {_of(choice)}{way}{time}; "
        f"picture: {escape(in_words(choice.loss))}."
    )


def proposed(choices: Sequence[Choice], model: Model) -> str:
    """Every choice with its numbers, and how they were chosen."""
    items = "".join(_item(choice, model) for choice in choices)
    return (
        f'<ul class="ql-picks">{items}</ul><div class="ql-hint">'
        '<button type="button" class="ql-button" data-try-all>Try these side by side</button>'
        f'<details class="ql-rule"><summary>How these are chosen</summary><p>{RULE}</p></details>'
        "</div>"
    )


def _item(choice: Choice, model: Model) -> str:
    head = ", ".join(HEADS[label] for label in choice.labels)
    memory = [f"{_of(choice)} at the peak, predicted", choice.placement.replace("-", " ")]
    memory += ["compiled"] if Plan.read(choice.plan).compiled else []
    if choice.host_bytes:
        memory.append(f"{size(choice.host_bytes)} of host memory")
    if choice.download_bytes:
        memory.append(f"{size(choice.download_bytes)} to download")
    time = _seconds(choice) if choice.image_s else f"seconds: none. {choice.image_s_why}"
    notes = [", ".join(memory), time, in_words(choice.loss)]
    notes += [choice.given_up] if choice.given_up else []
    notes += choice.licences
    return (
        f'<li><span class="ql-class">{head}</span>'
        f'<span class="ql-plan">{_parts(choice, model)}</span>'
        f'<meter aria-label="memory of the device" max="{choice.device_bytes}" '
        f'value="{choice.peak_bytes}"></meter>'
        + "".join(f'<span class="ql-weight">{escape(note)}</span>' for note in notes)
        + "</li>"
    )


def _of(choice: Choice) -> str:
    """Peak and all of the device: ``9.1 of 12.0 GiB``."""
    return f"{choice.peak_bytes / GIB:.1f} of {choice.device_bytes / GIB:.1f} GiB"


def _seconds(choice: Choice) -> str:
    """``an image in about 12 s (10 to 15), predicted``."""
    return f"an image in about {choice.image_s}, predicted"


def _schemes(choice: Choice, model: Model) -> list[tuple[str, str]]:
    """Scheme and what people call the part, of every part that is quantized."""
    plan = Plan.read(choice.plan, model.denoiser)
    called = {model.denoiser: model.denoiser}
    return [(scheme, called.get(name) or model.family.label(name)) for name, scheme in plan.parts]


def _named(choice: Choice, model: Model) -> str:
    """The plan in words: what each part is in."""
    compiled = ", compiled" if Plan.read(choice.plan).compiled else ""
    said = [f"{escape(scheme)} for the {part}" for scheme, part in _schemes(choice, model)]
    return (", ".join(said) or f"everything in {model.base_dtype}, unquantized") + compiled


def _parts(choice: Choice, model: Model) -> str:
    shown = [
        f'<span><button type="button" class="ql-name" data-claims="{escape(scheme)}">'
        f"{escape(scheme)}</button> {escape(part)}</span>"
        for scheme, part in _schemes(choice, model)
    ]
    return "".join(shown) or f"<span><b>{model.base_dtype}</b> everything</span>"
