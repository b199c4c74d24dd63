"""FLUX.1 Kontext: FLUX.1 that is also shown a picture, whose tokens stand beside the image's.

diffusers 0.42.1, pipelines/flux/pipeline_flux_kontext.py. A reference is scaled to about a
megapixel; without one it draws from the prompt alone. The pipeline brings every size that it is
asked for to one area, which is a further argument of its call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quantlab.families.family import Family
from quantlab.families.flux1 import BLACK
from quantlab.words.settings import Value

__all__ = ["FAMILY"]


class _Kontext(Family):
    def arguments(self, settings: Mapping[str, Value]) -> dict[str, Any]:
        found = super().arguments(settings)
        if "width" in found and "height" in found:
            found["max_area"] = found["width"] * found["height"]
        return found


FAMILY = _Kontext(
    id="flux1-kontext",
    pipelines=("FluxKontextPipeline",),
    encoders=("text_encoder", "text_encoder_2"),
    embeddings=("prompt_embeds", "pooled_prompt_embeds", "text_ids"),
    embedded="guidance_embeds",
    true_scale="true_cfg_scale",
    reference="image",
    as_given=("txt_ids", "img_ids", "guidance"),
    labels={"text_encoder_2": "T5 encoder", "vae": "image decoder"},
    classes="FluxKontext*",
    in_fp16=BLACK,
    gguf="flux",
)
