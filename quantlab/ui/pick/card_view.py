"""What is proposed for a device, in words: at most three plans with memory, seconds and quality.

Pure functions of choices; every text is escaped here. The rules are those of
quantlab/catalog/answer/choices.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from quantlab.catalog.answer.ready import files_of
from quantlab.catalog.schema import Model
from quantlab.catalog.sizes.idle import to_know
from quantlab.catalog.sizes.published import published_peaks
from quantlab.catalog.table import load_catalog
from quantlab.catalog.time.published import published_times
from quantlab.ui.bands_view import badge
from quantlab.words.choice import LIKELY, Choice
from quantlab.words.comparison import SHIPPED
from quantlab.words.metrics import metric
from quantlab.words.plan import LEFT_OUT, Plan
from quantlab.words.units import gib_of, size

__all__ = ["KEY_MARK", "proposed"]

KEY_MARK = "|"
"""Between model, plan, placement, hardware and settings in what a button asks the script of; none
of them has it."""
MOST_TIMES = 3
"""Published times beside an answer; all of them are among its reasons."""
RULE = (
    "Of all plans that fit, those stay that no other beats in memory, time and loss at once. The "
    "fastest is the fastest whose picture stays close to the unquantized one, or as close as "
    "anything that fits; the best picture loses least; the smallest takes least of the device. "
    f"Loss is measured on {SHIPPED}, bytes are predicted, and so are seconds but where the plan "
    "has run on such a card before."
)


def proposed(asked: str, choices: Sequence[Choice], model: Model, instead: str = "") -> str:
    """The first choice with all that is known of it, and the others under it.

    ``asked`` is who asks for what, such as "On an RTX 4090"; ``instead`` that none of them is near,
    and what would be.
    """
    first, *others = choices
    items = "".join(_other(choice, first, model) for choice in others)
    more = f'<ul class="ql-others" aria-label="Other choices">{items}</ul>' if items else ""
    return (
        f'<p class="ql-asked">{escape(asked)}</p>'
        f'<h2 class="ql-lead">{_named(first, model)}</h2>{_warned(instead)}{_facts(first, model)}'
        f"{_buttons(first, model)}{more}"
        '<p class="ql-answer-more"><button type="button" class="ql-button" data-try-all>'
        "Try these side by side</button></p>"
        f'<details class="ql-rule"><summary>How these are chosen</summary><p>{RULE}</p>'
        f"{_reasons(first)}</details>{_ready(model)}{_known(model)}"
    )


def _warned(instead: str) -> str:
    said = escape(instead[:1].upper() + instead[1:])
    return f'<p class="ql-banner">{said}.</p>' if instead else ""


def _ready(model: Model) -> str:
    """The repositories that store the model quantized, each with what is in it."""
    items = "".join(
        f'<li><a href="{escape(url)}" target="_blank" rel="noopener noreferrer">{escape(repo)}'
        f"</a>: {escape(said)}</li>"
        for repo, url, said in files_of(model)
    )
    if not items:
        return ""
    return (
        '<details class="ql-rule"><summary>Quantized files that others offer</summary>'
        f'<ul class="ql-why">{items}</ul><p>Documented by their makers; nobody ran them here.</p>'
        "</details>"
    )


def _known(model: Model) -> str:
    """What to know of the model, and the peaks that others published of it, each beside what is
    predicted for it."""
    drawers = {
        f"What to know of {model.name}": to_know(model),
        "Memory that others measured": published_peaks(model, load_catalog()),
    }
    said = ""
    for name, texts in drawers.items():
        items = "".join(f"<li>{escape(text)}</li>" for text in texts)
        if items:
            said += (
                f'<details class="ql-rule"><summary>{escape(name)}</summary>'
                f'<ul class="ql-why">{items}</ul></details>'
            )
    return said


def _facts(choice: Choice, model: Model) -> str:
    """Memory as a bar, seconds and closeness, each with how it is known."""
    share = min(choice.peak_bytes / choice.device_bytes, 1.0)
    where = [*choice.ways]
    if choice.host_bytes:
        where.append(f"{size(choice.host_bytes)} of host memory")
    if choice.download_bytes:
        where.append(f"{size(choice.download_bytes)} to download")
    bar = (
        '<span class="ql-memory" role="meter" aria-label="Memory of the device" aria-valuemin="0" '
        f'aria-valuemax="100" aria-valuenow="{100 * share:.0f}">'
        f'<i style="width:{share:.1%}"></i></span>'
    )
    return (
        f'<dl class="ql-answer-facts"><div><dt>Memory</dt><dd>{bar}<b>{_of(choice)}</b>'
        f'<span class="ql-known">predicted</span><small>{escape(", ".join(where))}</small></dd>'
        f"</div><div><dt>An image</dt><dd>{_seconds(choice, model)}</dd></div>"
        f"<div><dt>Picture</dt><dd>{_closeness(choice)}</dd></div></dl>"
    )


def _seconds(choice: Choice, model: Model) -> str:
    """``12 s (10 to 15)``, or why there is no figure, and what others saw on such devices."""
    if choice.drawn_s is not None:
        return (
            f'<b>at least {choice.drawn_s}</b><span class="ql-known">predicted</span>'
            f"<small>{escape(choice.image_s_why)}</small>"
        )
    if choice.image_s is None:
        seen = [one.short for one in published_times(model.id, choice.hardware)[:MOST_TIMES]]
        told = f"<small>Documented: {escape('; '.join(seen))}</small>" if seen else ""
        return f"<small>No figure. {escape(choice.image_s_why)}</small>{told}"
    known = choice.image_s_evidence
    return f'<b>about {choice.image_s}</b><span class="ql-known">{known}</span>'


def _closeness(choice: Choice) -> str:
    """Dots and word, the figure, and what it was measured on."""
    loss = choice.loss
    if loss.value == 0:
        return f"{badge(loss.metric, 0.0)}<small>nothing is quantized</small>"
    said = metric(loss.metric).said.format(loss.value)
    how = "measured on" if loss.evidence == "measured" else "predicted from"
    return f"{badge(loss.metric, loss.value)}<small>{said}, {how} {escape(loss.of)}</small>"


def _buttons(choice: Choice, model: Model) -> str:
    return (
        f'<div class="ql-answer-buttons">{_copy(choice, model, primary=True)}'
        '<button type="button" class="ql-button" data-copy-link>Link</button>'
        '<span class="ql-copied" role="status"></span></div>'
        f'<p class="ql-install"><code>{escape(choice.install)}</code></p>{_licences(choice, model)}'
    )


def _licences(choice: Choice, model: Model) -> str:
    """Libraries whose licence has to be told, each once; the reasons name its source."""
    catalog = load_catalog()
    named = (scheme for _, scheme in Plan.read(choice.plan, model.denoiser).parts)
    used = (
        catalog.methods[catalog.schemes[each].method] for each in named if each in catalog.schemes
    )
    strict = {method.name: method.licence for method in used if method.copyleft}
    said = (f"{name} is {licence} and is installed apart" for name, licence in strict.items())
    return "".join(f'<p class="ql-note-line">{escape(text)}</p>' for text in said)


def _copy(choice: Choice, model: Model, *, primary: bool = False) -> str:
    key = escape(KEY_MARK.join((*_asked(choice, model), *choice.settings)))
    kind = "ql-button is-primary" if primary else "ql-button"
    return f'<button type="button" class="{kind}" data-script="{key}">Copy the script</button>'


def _asked(choice: Choice, model: Model) -> tuple[str, ...]:
    return model.id, choice.plan, choice.placement, choice.hardware


def _other(choice: Choice, first: Choice, model: Model) -> str:
    """Another choice in three lines: what it is better at, what it is, what it takes."""
    known = choice.image_s_evidence
    time = escape(_timeless(choice))
    if choice.image_s:
        time = f'<span class="ql-whole-figure">about {choice.image_s}</span>, {known}'
    where = f"{_of(choice)}, predicted, {', '.join(choice.ways)}"
    return (
        f'<li><span class="ql-class">{_beside(choice, first)}</span>'
        f'<span class="ql-plan">{_named(choice, model)}</span>'
        f'<span class="ql-weight">{escape(where)}; {time}</span>'
        f"<span>{badge(choice.loss.metric, choice.loss.value)}</span>"
        f"{_licences(choice, model)}{_copy(choice, model)}</li>"
    )


def _beside(choice: Choice, first: Choice) -> str:
    """``Best picture: larger, slower``: what ``choice`` is, with what else it has over the first,
    and then what that costs."""
    gains, costs = [*choice.heads], []
    if choice.loss.value > first.loss.value:
        costs.append("less sharp")
    elif choice.loss.value < first.loss.value and "best-picture" not in choice.labels:
        gains.append("sharper")
    if choice.peak_bytes > first.peak_bytes:
        costs.append("larger")
    elif choice.peak_bytes < first.peak_bytes and "smallest" not in choice.labels:
        gains.append("smaller")
    if choice.image_s and first.image_s and choice.image_s.mid != first.image_s.mid:
        faster = choice.image_s.mid < first.image_s.mid
        (gains if faster else costs).append("faster" if faster else "slower")
    elif choice.placement == "group-offload":
        costs.append("slow")
    elif LIKELY in first.heads:
        costs.append(f"{LIKELY.partition(' ')[0]} slower")
    head = " and ".join(gains).capitalize()
    return f"<b>{head}</b>: {', '.join(costs)}" if costs else f"<b>{head}</b>"


def _timeless(choice: Choice) -> str:
    """Why there are no seconds, in a few words, or the least that they are."""
    if choice.drawn_s is not None:
        return f"at least {choice.drawn_s}, predicted"
    streamed = choice.placement == "group-offload"
    return "seconds depend on the host" if streamed else "no seconds known"


def _reasons(choice: Choice) -> str:
    said = [choice.given_up] if choice.given_up else []
    items = "".join(f"<li>{escape(reason)}</li>" for reason in (*said, *choice.reasons))
    return f'<ul class="ql-why">{items}</ul>'


def _of(choice: Choice) -> str:
    """Peak and all of the device: ``9.1 of 12.0 GiB``."""
    return gib_of(choice.peak_bytes, choice.device_bytes)


def _named(choice: Choice, model: Model) -> str:
    """The plan in words: what each part is in, each scheme a button to its claims."""
    plan = Plan.read(choice.plan, model.denoiser)
    called = {model.denoiser: model.denoiser}
    parts = [(scheme, called.get(n) or model.family.label(n)) for n, scheme in plan.parts]
    said = [
        f'<button type="button" class="ql-name" data-claims="{escape(scheme)}">{escape(scheme)}'
        f"</button> for the {escape(name)}"
        for scheme, name in parts
        if scheme != LEFT_OUT
    ] or [f"everything in {model.base_dtype}, unquantized"]
    said += [f"without the {escape(name)}" for scheme, name in parts if scheme == LEFT_OUT]
    said += ["without idle parts"] if plan.trimmed else []
    said += ["compiled"] if plan.compiled else []
    first, *rest = said
    if not rest:
        return first
    return f'{first}, <span class="ql-lead-rest">{", ".join(rest)}</span>'
