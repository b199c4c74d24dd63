"""SDXL: a U-Net on latents of 8 pixels a side; two CLIPs, of the second its summary too.

diffusers 0.42.1, pipelines/stable_diffusion_xl/pipeline_stable_diffusion_xl.py.
"""

from __future__ import annotations

from quantlab.families.family import Family

FAMILY = Family(
    id="sdxl",
    pipelines=("StableDiffusionXLPipeline",),
    denoisers=("unet",),
    encoders=("text_encoder", "text_encoder_2"),
    embeddings=(
        "prompt_embeds",
        "negative_prompt_embeds",
        "pooled_prompt_embeds",
        "negative_pooled_prompt_embeds",
    ),
    cfg_from=1.0,
    cfg_batched=True,
    negative="same call",
    length=None,
    pixels=8,
    stream="conv_in",
    as_given=("timestep",),
    labels={"unet": "U-Net", "vae": "image decoder"},
    gguf="sdxl",
)
