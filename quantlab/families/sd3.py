"""Stable Diffusion 3 and 3.5: two CLIPs and T5; true guidance, both passes in one batch.

diffusers 0.42.1, pipelines/stable_diffusion_3/pipeline_stable_diffusion_3.py.
"""

from __future__ import annotations

from quantlab.families.family import Family

FAMILY = Family(
    id="sd3",
    pipelines=("StableDiffusion3Pipeline",),
    encoders=("text_encoder", "text_encoder_2", "text_encoder_3"),
    embeddings=(
        "prompt_embeds",
        "negative_prompt_embeds",
        "pooled_prompt_embeds",
        "negative_pooled_prompt_embeds",
    ),
    cfg_from=1.0,
    cfg_batched=True,
    negative="same call",
    stream="pos_embed.proj",
    as_given=("timestep",),
    labels={"text_encoder_3": "T5 encoder", "vae": "image decoder"},
    gguf="sd3",
)
