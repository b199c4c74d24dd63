"""Qwen-Image 2.1: Qwen3-VL's hidden states, pictures with alpha.

diffusers 0.42.1, pipelines/qwenimage21/pipeline_qwenimage21.py. Its calls have no length argument;
its autoencoder makes 16 pixels a side of each latent. Pictures go through the text encoder and, as
tokens, through the autoencoder, both at a megapixel; where they stand among the text is told by a
mask that ``encode_prompt`` returns and the call has no name for.
"""

from __future__ import annotations

from typing import Any

from quantlab.families.family import Family

__all__ = ["FAMILY", "shown"]


def shown(pipe: Any, pictures: Any) -> dict[str, Any]:
    """The pictures for the text encoder, of the mode and sides that the pipeline gives them."""
    import inspect
    import sys

    side = inspect.signature(type(pipe).__call__).parameters["output_resolution"].default
    sides = sys.modules[type(pipe).__module__].calculate_dimensions
    found = []
    for each in pictures:
        width, height, _ = sides(side * side, each.width / each.height)
        found.append(pipe.image_processor.resize(each.convert("RGBA"), height, width))
    return {"image": found}


FAMILY = Family(
    id="qwen-image-2.1",
    pipelines=("QwenImage21Pipeline",),
    encoders=("text_encoder",),
    embeddings=("prompt_embeds", "prompt_embeds_mask", "image_pad_mask"),
    scale="true_cfg_scale",
    cfg_from=1.0,
    negative="second call",
    needs_negative=True,
    length=None,
    reference="image",
    shows=shown,
    replayed=True,
    stream="img_in",
    decoder_tensors=11.2,
    encoder_tensors=11.1,
    processors={"processor": "Qwen3VLProcessor"},
    labels={"vae": "image decoder"},
)
