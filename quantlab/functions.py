"""quantlab for programs: the commands as functions, with values instead of text.

Nothing is imported before it is needed: picking and predicting stay free of torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantlab.words.comparison import SHIPPED

if TYPE_CHECKING:
    from quantlab.catalog.answer.pick import Recommendation
    from quantlab.catalog.sizes.predict import Prediction
    from quantlab.lab.check.finding import Report
    from quantlab.words.choice import Choice
    from quantlab.words.comparison import Comparison
    from quantlab.words.outcome import Outcome

__all__ = ["check", "compare", "link", "pick", "predict", "propose"]

PAGE = "http://127.0.0.1:7860/"
"""Where a page of one's own is served unless it was told otherwise."""


def pick(
    *,
    hardware: str | None = None,
    gpu: str | None = None,
    memory_gib: float | None = None,
    bits: float | None = None,
    needs: Sequence[str] = (),
    library: str | None = None,
    model: str | None = None,
    ram_gib: float | None = None,
) -> list[Recommendation]:
    """Every method with its verdict and reasons, best first, the rejected ones included.

    Args:
        hardware: "cpu", "cuda", "rocm", "metal" or "intel".
        gpu: a card, as people type it; stands for hardware and memory.
        memory_gib: memory of the device in GiB (2**30 bytes).
        bits: bit width.
        needs: columns that must hold, such as "compile" or "lora".
        library: "diffusers" or "transformers".
        model: a model's id.
        ram_gib: the host's memory in GiB; not checked where it is left out.

    Raises:
        InputError: names the argument that is wrong and what is allowed.
    """
    from quantlab.catalog.table import load_catalog
    from quantlab.record.asking import recommended
    from quantlab.record.known import measurements_here

    catalog = load_catalog()
    return recommended(
        catalog,
        measurements_here(catalog),
        hardware=hardware,
        gpu=gpu,
        memory_gib=memory_gib,
        bits=bits,
        needs=needs,
        library=library,
        model=model,
        ram_gib=ram_gib,
    )


def propose(
    model: str,
    *,
    gpu: str | None = None,
    hardware: str | None = None,
    memory_gib: float | None = None,
    ram_gib: float | None = None,
    bits: float | None = None,
    needs: Sequence[str] = (),
    width: int | None = None,
    height: int | None = None,
    batch: int | None = None,
    references: int | None = None,
    steps: int | None = None,
) -> tuple[Choice, ...]:
    """At most three plans of ``model`` for a device: fastest, best picture, smallest.

    Args:
        model: a model's id.
        gpu: a card, as people type it; or else
        hardware, memory_gib: a kind of device and its memory in GiB; "cpu" alone is this machine's,
            where steps of flux-mini are then run (imports torch).
        ram_gib: the host's memory in GiB; not checked where it is left out.
        bits, needs: asked of the denoiser's scheme, as in ``pick``.
        width, height: of the picture, in pixels; steps, batch, references: how many. The model's
            own where left out.

    Raises:
        InputError: names the argument that is wrong and what is allowed.
    """
    from quantlab.catalog.table import load_catalog
    from quantlab.record.asking import proposed
    from quantlab.record.known import measurements_here

    catalog = load_catalog()
    return proposed(
        catalog,
        measurements_here(catalog),
        model=model,
        gpu=gpu,
        hardware=hardware,
        memory_gib=memory_gib,
        ram_gib=ram_gib,
        bits=bits,
        needs=needs,
        width=width,
        height=height,
        batch=batch,
        references=references,
        steps=steps,
    ).choices


def predict(
    plans: Sequence[str],
    *,
    model: str = SHIPPED,
    gpu: str | None = None,
    hardware: str | None = None,
    memory_gib: float | None = None,
    ram_gib: float | None = None,
    batch: int | None = None,
    references: int | None = None,
    **settings: Any,
) -> list[Prediction]:
    """Bytes of each plan before anything is downloaded, in the order of ``plans``; and where a
    device is named as in ``propose``, where it is kept there and its seconds.

    ``settings`` are those of a comparison: ``width``, ``height``, ``sequence_length`` ...; what is
    left out takes the model's default.

    Raises:
        InputError: names the part that is wrong and what is allowed.
    """
    from quantlab.catalog.comparison import to_predict
    from quantlab.catalog.table import load_catalog
    from quantlab.record.asking import predicted
    from quantlab.record.known import measurements_here

    catalog = load_catalog()
    return predicted(
        catalog,
        measurements_here(catalog),
        to_predict(model, plans, {"prompt": "", **settings}, catalog),
        gpu=gpu,
        hardware=hardware,
        memory_gib=memory_gib,
        ram_gib=ram_gib,
        batch=batch,
        references=references,
    )


def check(code: str, *, name: str = "code", gpu: str | None = None) -> Report:
    """What a piece of code, or an error message, really says: findings, mended code, its plan.

    ``code`` is parsed and never run; ``name`` is what the findings call its file, ``gpu`` a card as
    people type it, for which it is held. A syntax error is a finding.

    Raises:
        InputError: it is longer than 200 KB, or the card is not known.
    """
    from quantlab.catalog.gpus import choose_one
    from quantlab.lab.check.check import check_text

    return check_text(code, name, gpu=None if gpu is None else choose_one(gpu))


def compare(
    plans: Sequence[str],
    prompt: str,
    *,
    model: str = SHIPPED,
    out: str | Path = "quantlab-out",
    repeats: int = 1,
    warmup: int = 1,
    **settings: Any,
) -> list[Outcome]:
    """Run plans side by side on this machine and measure each; a failure is an outcome too.

    Images are written to ``out`` as PNG. ``repeats`` runs are counted after ``warmup`` that are
    not; ``settings`` as in ``predict``. Imports torch.

    Raises:
        InputError: names the part that is wrong and what is allowed.
    """
    comparison = _comparison(plans, prompt, model, settings)
    from quantlab.catalog.table import load_catalog
    from quantlab.lab.bench import compare as bench
    from quantlab.lab.device import this_device

    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    kept = bench.Bench(load_catalog(), this_device())
    return bench.compare(comparison, bench=kept, out=folder, repeats=repeats, warmup=warmup)


def link(
    plans: Sequence[str],
    prompt: str,
    *,
    model: str = SHIPPED,
    base: str = PAGE,
    **settings: Any,
) -> str:
    """The address of the page at ``base`` opened on a comparison; opening it runs nothing.

    Raises:
        InputError: names the part that is wrong and what is allowed.
    """
    from quantlab.record.link import to_url

    return to_url(base, _comparison(plans, prompt, model, settings))


def _comparison(
    plans: Sequence[str], prompt: str, model: str, settings: dict[str, Any]
) -> Comparison:
    from quantlab.catalog.comparison import make_comparison

    return make_comparison(model=model, plans=plans, prompt=prompt, **settings)
