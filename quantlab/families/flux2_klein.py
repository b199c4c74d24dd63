"""FLUX.2 klein: one language model's hidden states; true guidance unless the model is distilled.

diffusers 0.42.1, pipelines/flux2/pipeline_flux2_klein.py and models/transformers/
transformer_flux2.py. The base checkpoints are not distilled and run two passes a step.
"""

from __future__ import annotations

from quantlab.families.family import Family

FAMILY = Family(
    id="flux2-klein",
    pipelines=("Flux2KleinPipeline",),
    encoders=("text_encoder",),
    embeddings=("prompt_embeds", "text_ids"),
    cfg_from=1.0,
    negative="second call",
    distilled="is_distilled",
    reference="image",
    stream_tensors=22.0,  # measured of the 4B: 613.5 MB at 1024 px and 512 tokens, bf16, on an H200
    as_given=("txt_ids", "img_ids", "guidance"),
    labels={"vae": "image decoder"},
)
