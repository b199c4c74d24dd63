"""Plans and comparisons: the plain values that say what is to be tried.

Text forms are pure functions both ways. Knows the catalogue; knows nothing of torch, files or
the page.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from quantlab.catalog.schema import DTYPE_SCHEMES, Model, Scheme
from quantlab.catalog.table import Catalog, load_catalog
from quantlab.errors import InputError, PlanError
from quantlab.lab.limits import finite_number, show, size_of, whole
from quantlab.lab.lora.name import Lora, check_lora

__all__ = [
    "MAX_PLANS",
    "MAX_PROMPT",
    "MAX_SEED",
    "Comparison",
    "Plan",
    "check_prompt",
    "make_comparison",
    "parse_plan",
]

MAX_PLANS = 6
MAX_PROMPT = 1000
MAX_SEED = 2**32 - 1
MAX_GUIDANCE = 20.0
COMPILED = "@compiled"


@dataclass(frozen=True)
class Plan:
    """Component -> scheme for one pipeline.

    ``dtype`` is "fp32" or "bf16" when the whole pipeline is asked for in it, else None: what
    ``parts`` does not name then keeps the model's base dtype.
    """

    parts: tuple[tuple[str, str], ...] = ()
    dtype: str | None = None
    compiled: bool = False

    def __str__(self) -> str:
        if self.dtype is not None:
            text = self.dtype
        elif len(self.parts) == 1 and self.parts[0][0] == "transformer":
            scheme = self.parts[0][1]
            text = f"transformer={scheme}" if scheme in DTYPE_SCHEMES else scheme
        else:
            text = ",".join(f"{component}={scheme}" for component, scheme in self.parts)
        return text + (COMPILED if self.compiled else "")

    def scheme(self, component: str) -> str | None:
        """The scheme named for ``component``, or None where it keeps the base dtype."""
        return dict(self.parts).get(component, self.dtype)


@dataclass(frozen=True)
class Comparison:
    """Model, prompt, seed, steps, size and an ordered list of plans; the first is the reference.

    Where a LoRA is named, every plan carries it, the reference too.
    """

    model: str
    plans: tuple[Plan, ...]
    prompt: str
    seed: int
    steps: int
    guidance: float
    width: int
    height: int
    sequence_length: int
    lora: str | None = None
    lora_weight: float = 1.0

    @property
    def carried(self) -> Lora | None:
        """The LoRA that every plan carries, or None."""
        return None if self.lora is None else Lora(self.lora, self.lora_weight)

    def as_dict(self) -> dict[str, object]:
        """Plain JSON values, with the plans as texts and the keys of the command line.

        Those of the LoRA are there only where one is named.
        """
        carried = {} if self.lora is None else {"lora": self.lora, "lora_weight": self.lora_weight}
        return {
            "model": self.model,
            "plans": [str(plan) for plan in self.plans],
            "prompt": self.prompt,
            "seed": self.seed,
            "steps": self.steps,
            "guidance": self.guidance,
            "width": self.width,
            "height": self.height,
            "sequence_length": self.sequence_length,
            **carried,
        }


def parse_plan(text: str, model: Model, catalog: Catalog | None = None) -> Plan:
    """Read ``bnb-nf4``, ``fp32`` or ``transformer=a,text_encoder_2=b``, with ``@compiled`` or not.

    Everything that can be known before loading is checked here: unknown components and schemes, a
    component named twice, a scheme that does not exist for the component's library.

    Raises:
        PlanError: the text is not a plan for this model; the message names the part.
    """
    catalog = catalog or load_catalog()
    body = text.strip()
    compiled = body.endswith(COMPILED)
    body = body.removesuffix(COMPILED).strip()
    if not body:
        raise PlanError("is empty; name a scheme such as bnb-nf4")
    if body in DTYPE_SCHEMES:
        return Plan(dtype=body, compiled=compiled)
    if "=" not in body:
        body = f"transformer={body}"
    parts: dict[str, str] = {}
    for item in body.split(","):
        name, _, scheme_id = (piece.strip() for piece in item.partition("="))
        if model.component(name) is None:
            known = ", ".join(c.name for c in model.components)
            raise PlanError(f"{model.id} has no component {show(name)}; it has {known}")
        if name in parts:
            raise PlanError(f"{name} is named twice")
        _check_scheme(scheme_id, name, model, catalog)
        parts[name] = scheme_id
    order = [c.name for c in model.components]
    ordered = tuple(sorted(parts.items(), key=lambda part: order.index(part[0])))
    return Plan(parts=ordered, compiled=compiled)


def _check_scheme(scheme_id: str, component_name: str, model: Model, catalog: Catalog) -> None:
    if scheme_id in DTYPE_SCHEMES:
        if component_name != "transformer" and scheme_id != model.base_dtype:
            raise PlanError(
                f"{scheme_id} on {component_name} alone: the pipeline hands tensors between its "
                f"parts in one dtype; use {scheme_id} for the whole pipeline"
            )
        return
    stored = model.extra.get("quantized", {}).get(component_name)
    if stored:
        raise PlanError(
            f"{component_name} of {model.name} is stored quantized already ({stored}) and is used "
            f"as it is"
        )
    scheme = catalog.schemes.get(scheme_id)
    if scheme is None:
        raise PlanError(f"unknown scheme {show(scheme_id)}; the Pick tab lists them all")
    component = model.component(component_name)
    assert component is not None
    reason = why_not(scheme, component.library, component.cls)
    if reason:
        raise PlanError(f"{scheme_id} cannot be used on {component_name}: {reason}")


def why_not(scheme: Scheme, library: str, cls: str) -> str | None:
    """Why a scheme does not exist for a component of this library and class, or None.

    Rules from the libraries: a quantization config must come from the component's own library,
    GGUF files are read by diffusers' models only, layerwise casting is a method of diffusers'
    models.
    """
    if scheme.way == "none":
        return scheme.note or "quantlab has no way of loading it"
    if cls == "AutoencoderKL" or cls.startswith("AutoencoderKL"):
        return "the autoencoder is convolutions, which these schemes leave alone"
    if scheme.way == "gguf" and library != "diffusers":
        return "GGUF is read through from_single_file of a diffusers model; transformers is not one"
    if scheme.way == "layerwise" and library != "diffusers":
        return "layerwise casting is a method of diffusers models"
    if scheme.way == "config" and library == "diffusers" and scheme.diffusers is None:
        return "diffusers has no config class for it"
    if scheme.way == "config" and library == "transformers" and scheme.transformers is None:
        return "transformers has no config class for it"
    return None


def make_comparison(
    *,
    model: str = "flux-mini",
    plans: Sequence[str] = ("fp32", "bnb-nf4"),
    prompt: str,
    seed: int = 0,
    steps: int | None = None,
    guidance: float | None = None,
    width: int | None = None,
    height: int | None = None,
    sequence_length: int | None = None,
    lora: str | None = None,
    lora_weight: float | None = None,
    catalog: Catalog | None = None,
) -> Comparison:
    """Check every part against the catalogue and its limits; None takes the model's default.

    Raises:
        InputError: names the part that is wrong and what is allowed.
    """
    catalog = catalog or load_catalog()
    known = catalog.models.get(model)
    if known is None:
        raise InputError("model", _unknown(model, catalog))
    if not 1 <= len(plans) <= MAX_PLANS:
        raise InputError("plans", f"{len(plans)} given; 1 to {MAX_PLANS} are allowed")
    d, limits = known.defaults, known.limits
    carried = check_lora(lora, lora_weight, known)
    size = (limits.min_size, limits.max_size)
    return Comparison(
        model=model,
        plans=tuple(parse_plan(text, known, catalog) for text in plans),
        prompt=check_prompt(prompt),
        seed=whole("seed", seed, 0, MAX_SEED),
        steps=whole("steps", d.steps if steps is None else steps, 1, limits.max_steps),
        guidance=_guidance(d.guidance if guidance is None else guidance),
        width=size_of("width", d.width if width is None else width, *size, limits.size_multiple),
        height=size_of(
            "height", d.height if height is None else height, *size, limits.size_multiple
        ),
        sequence_length=whole(
            "sequence-length",
            d.sequence_length if sequence_length is None else sequence_length,
            1,
            limits.max_sequence_length,
        ),
        lora=carried.name if carried else None,
        lora_weight=carried.weight if carried else 1.0,
    )


def _unknown(model: str, catalog: Catalog) -> str:
    return (
        f"unknown model {show(model)}; known: {', '.join(catalog.models)}. A model of one's own "
        f"is named at the start with --model, never by a link or a request"
    )


def check_prompt(prompt: str) -> str:
    """The prompt as it is.

    Raises:
        InputError: it is too long, or holds characters that are not text.
    """
    if not isinstance(prompt, str):
        raise InputError("prompt", "must be text")
    if len(prompt) > MAX_PROMPT:
        raise InputError("prompt", f"{len(prompt)} characters; at most {MAX_PROMPT} are allowed")
    if any(unicodedata.category(char) in ("Cc", "Cs", "Co", "Cn") for char in prompt):
        raise InputError("prompt", "contains characters that are not text")
    return prompt


def _guidance(value: object) -> float:
    number = finite_number(value)
    if number is None or not 0 <= number <= MAX_GUIDANCE:
        raise InputError("guidance", f"{show(value)}; 0 to {MAX_GUIDANCE:g} are allowed")
    return float(number)
