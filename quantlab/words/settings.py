"""Settings: what a comparison asks of a model beside its plans, one row each.

The command line, the link, the API and its MCP tools, the controls of the page, what an import
takes, the heads of tables and the arguments of the pipeline's call are made of these rows. A new
setting is one more row at the end; it must be ``optional``, so that what was kept and linked
before stays what it is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from quantlab.words.setting import Setting, Value

__all__ = ["SETTINGS", "Setting", "Value", "described", "setting"]

SETTINGS = (
    Setting(
        "prompt",
        "text",
        label="Prompt",
        about="What to draw.",
        longest=1000,
        argument="prompt",
        swept=True,
    ),
    Setting(
        "seed",
        "whole",
        label="Seed",
        about="Seed of the noise that the image starts from.",
        high=2**32 - 1,
        default=0,
        said="seed {seed}",
        swept=True,
    ),
    Setting(
        "steps",
        "whole",
        label="Steps",
        about="Denoising steps.",
        low=1,
        high="max_steps",
        foreign=(1, 1000),
        from_model=True,
        argument="num_inference_steps",
        said="{steps} step(s)",
    ),
    Setting(
        "guidance",
        "number",
        label="Guidance",
        about="Guidance scale.",
        high="max_guidance",
        foreign=(0, 1000),
        from_model=True,
        argument="guidance_scale",
        said="guidance {guidance:g}",
        advanced=True,
    ),
    Setting(
        "width",
        "whole",
        label="Width, px",
        about="Width of the image in pixels.",
        low="min_size",
        high="max_size",
        multiple="size_multiple",
        foreign=(1, 4096),
        from_model=True,
        argument="width",
        said="{width} x {height} px",
        sized=True,
    ),
    Setting(
        "height",
        "whole",
        label="Height, px",
        about="Height of the image in pixels.",
        low="min_size",
        high="max_size",
        multiple="size_multiple",
        foreign=(1, 4096),
        from_model=True,
        argument="height",
        sized=True,
    ),
    Setting(
        "sequence_length",
        "whole",
        label="Sequence length, tokens",
        about="Text tokens that the transformer is given.",
        info="Tokens that the text encoder gives to the transformer; more takes longer.",
        low=1,
        high="max_sequence_length",
        foreign=(1, 100_000),
        from_model=True,
        argument="max_sequence_length",
        said="{sequence_length} tokens",
        advanced=True,
        sized=True,
    ),
    Setting(
        "lora",
        "text",
        label="LoRA on every plan",
        about="A LoRA that every plan carries: a listed one, or owner/name on the hub.",
        longest=200,
        optional=True,
        listed="loras",
        said="LoRA {lora}, weight {lora_weight:g}",
        advanced=True,
    ),
    Setting(
        "lora_weight",
        "number",
        label="Weight of the LoRA",
        about="How strongly it acts, -4 to 4; 1 if left out.",
        info="-4 to 4; 1 is as it was trained.",
        low=-4.0,
        high=4.0,
        default=1.0,
        optional=True,
        goes_with="lora",
        alone="goes with a LoRA; none is named",
        zero="which would be no LoRA at all",
        advanced=True,
    ),
    Setting(
        "negative_prompt",
        "text",
        label="Negative prompt",
        about="What not to draw, where there is a second pass a step for it.",
        info="For the second pass a step of true guidance; nothing without one.",
        longest=1000,
        optional=True,
        said="not {negative_prompt}",
        advanced=True,
    ),
    Setting(
        "true_cfg_scale",
        "number",
        label="True guidance",
        about="Scale of true guidance beside the embedded one: two passes a step above 1.",
        info="Beside the embedded guidance; above 1 two passes a step, twice the time.",
        high="max_guidance",
        foreign=(0, 1000),
        optional=True,
        argument="true_cfg_scale",
        said="true guidance {true_cfg_scale:g}",
        advanced=True,
        sized=True,
    ),
    Setting(
        "frames",
        "whole",
        label="Frames",
        about="Frames of a video, of which the first is shown.",
        info="Of a video; its first frame is shown.",
        low=1,
        high="max_frames",
        foreign=(1, 10_000),
        from_model=True,
        optional=True,
        argument="num_frames",
        said="{frames} frame(s)",
        advanced=True,
        sized=True,
    ),
    Setting(
        "reference",
        "text",
        label="Pictures to go by",
        about="A picture to go by, for models that edit; may be given several times.",
        info="By their digests: give files above, or to compare --reference FILE.",
        longest=200,
        optional=True,
        many=True,
        said="pictures to go by: {reference}",
        advanced=True,
    ),
    Setting(
        "vae_tiling",
        "flag",
        label="VAE tiling",
        about="Decode the picture in overlapping tiles, which takes less memory above their size.",
        info="Less memory above the tile's size (1024 px, or 256); seams may show.",
        optional=True,
        said="VAE tiling",
        advanced=True,
        sized=True,
    ),
    Setting(
        "vae_slicing",
        "flag",
        label="VAE slicing",
        about="Decode one picture of a batch after the other, which takes less memory.",
        info="One picture of a batch at a time; of a single one it changes nothing.",
        optional=True,
        said="VAE slicing",
        advanced=True,
        sized=True,
    ),
)
"""In the order of links, documents and tables. People give LoRAs 0.5 to 1.5, and negative weights
to turn a look around."""


def setting(key: str) -> Setting:
    """The row called ``key``.

    Raises:
        KeyError: there is none.
    """
    return {row.key: row for row in SETTINGS}[key]


def described(values: Mapping[str, Value | None], but: Collection[str] = ()) -> list[str]:
    """What ``values`` say, a piece each setting: ``8 steps``, ``128 x 64 px``; without ``but``."""
    known = {key: value for key, value in values.items() if value is not None}
    pieces = []
    for row in SETTINGS:
        if row.said and row.key in known and row.key not in but:
            plural = "" if known[row.key] == 1 else "s"
            pieces.append(row.said.replace("(s)", plural).format_map(known))
    return pieces
