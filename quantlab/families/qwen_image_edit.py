"""Qwen-Image-Edit: Qwen-Image that is shown pictures, by its text encoder and as tokens.

diffusers 0.42.1, pipelines/qwenimage/pipeline_qwenimage_edit_plus.py. Each reference is scaled to a
megapixel for the transformer and to 384 x 384 for the text encoder; there must be one.
"""

from __future__ import annotations

from typing import Any

from quantlab.families.family import Family

__all__ = ["FAMILY", "shown"]


def shown(pipe: Any, pictures: Any) -> dict[str, Any]:
    """The pictures for the text encoder, of the area and sides that the pipeline gives them."""
    import sys

    module = sys.modules[type(pipe).__module__]
    area, sides = module.CONDITION_IMAGE_SIZE, module.calculate_dimensions
    sizes = [sides(area, each.width / each.height) for each in pictures]
    return {
        "image": [
            pipe.image_processor.resize(each, height, width)
            for each, (width, height) in zip(pictures, sizes, strict=True)
        ]
    }


FAMILY = Family(
    id="qwen-image-edit",
    pipelines=("QwenImageEditPlusPipeline",),
    encoders=("text_encoder",),
    embeddings=("prompt_embeds", "prompt_embeds_mask"),
    scale="true_cfg_scale",
    cfg_from=1.0,
    negative="second call",
    needs_negative=True,
    reference="image",
    shows=shown,
    needs_reference=True,
    stream="img_in",
    decoder_tensors=18.0,
    encoder_tensors=10.1,
    as_given=("guidance",),
    processors={"processor": "Qwen2VLProcessor"},
    labels={"vae": "image decoder"},
    gguf="qwen_image",
)
