"""What is proposed for a card, in words: one plan a placement, with its numbers and the rule.

Pure functions of proposals; every text is escaped here.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from quantlab.catalog.answer.proposals import FEWEST_BITS, Proposal
from quantlab.catalog.placement import Kind
from quantlab.catalog.schema import Model
from quantlab.catalog.sizes.rows import target
from quantlab.words.units import GIB, size

__all__ = ["lead_of", "proposed"]

HEADS: dict[Kind, str] = {
    "resident": "All stays on the device",
    "model-offload": "Model offload, one component at a time",
    "group-offload": "Group offload, layer by layer",
}
SPEED: dict[Kind, str] = {
    "resident": "saves memory, not time",
    "model-offload": "slower: each component travels to the device for every image",
    "group-offload": "slowest: every layer travels to the device at every step",
}
ENCODERS = {"T5EncoderModel": "T5", "Qwen3ForCausalLM": "Qwen3"}
RULE = (
    "More bits lose less. The part with fewer bits counts first, then the transformer, then the "
    "text encoder; of equal bits, what changed flux-mini's transformer less when it was measured. "
    f"Fewer than {FEWEST_BITS:g} bits are proposed only where nothing else fits, and no scheme "
    "that is several times slower unless compiled. For each way of placing the weights, this is "
    "the first plan that fits. All bytes are predicted, for one image of the model's default size."
)


def lead_of(asked: str, proposal: Proposal, model: Model) -> str:
    """The answer as one sentence; ``asked`` is who asks for what, such as "On a card"."""
    where = proposal.placement.kind
    way = "" if where == "resident" else f" with {where.replace('-', ' ')}"
    unquantized = proposal.transformer is None and proposal.encoder is None
    if where == "resident":
        cost = "nothing is lost" if unquantized else SPEED[where]
    else:
        cost = "slower" if unquantized else "saves memory, costs time"
    return f"{escape(asked)}: <b>{_named(proposal, model)}</b>; about {_of(proposal)}{way}; {cost}."


def proposed(proposals: Sequence[Proposal], model: Model) -> str:
    """Every proposal with its numbers, and how they were chosen."""
    items = "".join(_item(proposal, model) for proposal in proposals)
    return (
        f'<ul class="ql-picks">{items}</ul><div class="ql-hint">'
        '<button type="button" class="ql-button" data-try-all>Try these side by side</button>'
        f'<details class="ql-rule"><summary>How these are chosen</summary><p>{RULE}</p></details>'
        "</div>"
    )


def _item(proposal: Proposal, model: Model) -> str:
    placement = proposal.placement
    held = [f"{size(proposal.weights_bytes)} of weights"]
    held.append(f"{size(placement.host_bytes)} of host memory")
    if proposal.download_bytes:
        held.append(f"{size(proposal.download_bytes)} to download")
    unquantized = proposal.transformer is None and proposal.encoder is None
    as_is = unquantized and placement.kind == "resident"
    notes = [
        f"{_of(proposal)} at the peak, predicted",
        ", ".join(held),
        "nothing is lost" if as_is else SPEED[placement.kind],
        *(f"licence of {said}" for said in proposal.licences),
    ]
    return (
        f'<li><span class="ql-class">{HEADS[placement.kind]}</span>'
        f'<span class="ql-plan">{_parts(proposal, model)}</span>'
        + "".join(f'<span class="ql-weight">{escape(note)}</span>' for note in notes)
        + "</li>"
    )


def _of(proposal: Proposal) -> str:
    """Peak and all of the device, as placement.py says them: ``9.1 of 12.0 GiB``."""
    return f"{proposal.placement.peak_bytes / GIB:.1f} of {proposal.device_bytes / GIB:.1f} GiB"


def _named(proposal: Proposal, model: Model) -> str:
    """The plan in words: what the transformer is in, and what the text encoder."""
    encoder = _encoder_name(model)
    if proposal.transformer is None and proposal.encoder is None:
        return f"everything in {model.base_dtype}, unquantized"
    first = escape(proposal.transformer or model.base_dtype)
    second = f"{escape(proposal.encoder)} for {encoder}" if proposal.encoder else ""
    return f"{first} for the transformer, {second or f'{encoder} unchanged'}"


def _parts(proposal: Proposal, model: Model) -> str:
    said = []
    for part, scheme in (("transformer", proposal.transformer), ("", proposal.encoder)):
        name = escape(scheme or "")
        shown = (
            f'<button type="button" class="ql-name" data-claims="{name}">{name}</button>'
            if scheme
            else f"<b>{model.base_dtype}</b>"
        )
        said.append(f"<span>{shown} {part or _encoder_name(model)}</span>")
    return "".join(said)


def _encoder_name(model: Model) -> str:
    """How people call the model's large text encoder."""
    component = target(model, "transformers")
    return ENCODERS.get(component.cls if component else "", "the text encoder")
