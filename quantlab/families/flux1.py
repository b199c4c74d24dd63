"""FLUX.1: CLIP's summary and T5's tokens; guidance is an input of the transformer.

diffusers 0.42.1, pipelines/flux/pipeline_flux.py and models/transformers/transformer_flux.py.
"""

from __future__ import annotations

from quantlab.families.family import Family

__all__ = ["BLACK", "FAMILY"]

BLACK = (
    "overflows to a black picture (https://github.com/huggingface/optimum-quanto/issues/231, "
    "2026-11)"
)

FAMILY = Family(
    id="flux1",
    pipelines=("FluxPipeline",),
    encoders=("text_encoder", "text_encoder_2"),
    embeddings=("prompt_embeds", "pooled_prompt_embeds", "text_ids"),
    embedded="guidance_embeds",
    true_scale="true_cfg_scale",
    as_given=("txt_ids", "img_ids", "guidance"),
    labels={"text_encoder_2": "T5 encoder", "vae": "image decoder"},
    classes="Flux[A-Z]*",
    in_fp16=BLACK,
    gguf="flux",
)
