"""A pipeline's processor on a machine without torchvision.

transformers reads a processor such as ``Qwen3VLProcessor`` whole or not at all, and its part for
videos needs torchvision, which must be built for the very torch that is installed: PyPI's beside a
torch for CPUs fails when it is imported, and takes ``AutoProcessor`` along. No pipeline here feeds
it a video. Without torchvision this makes the stored processor, of its own class, without that
part, its pictures resized by Pillow; where the class itself asks for torchvision, only text is
left.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from quantlab.errors import LoadError

__all__ = ["load_processor"]

IMAGE_TOKENS = ("<|image_pad|>", "[IMG]")
"""What stands for a picture in a prompt: Qwen's, Mistral's."""


def load_processor(folder: Path) -> Any:
    """The processor that is stored in ``folder``; without torchvision, as much of it as there is.

    Raises:
        LoadError: the folder does not say which processor it is of.
        OSError: there is no tokenizer in it.
    """
    import transformers
    from transformers.utils.import_utils import is_torchvision_available

    if is_torchvision_available():
        return transformers.AutoProcessor.from_pretrained(folder)
    cls = getattr(transformers, _class_name(folder))
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    if getattr(cls, "is_dummy", False):
        return _text_only(tokenizer)
    images = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")
    return _without_videos(cls, images, tokenizer)


def _class_name(folder: Path) -> str:
    """The class of the processor: newer files name it in one place, older ones in two others."""
    for file in ("processor_config.json", "preprocessor_config.json", "tokenizer_config.json"):
        path = folder / file
        if path.exists():
            name = json.loads(path.read_text(encoding="utf-8")).get("processor_class")
            if isinstance(name, str):
                return name
    raise LoadError(f"{folder.name} does not say of which class its processor is")


def _without_videos(cls: Any, images: Any, tokenizer: Any) -> Any:
    """A processor of class ``cls`` whose constructor asks for no part for videos."""
    from transformers import ProcessorMixin

    class WithoutVideos(cls):  # type: ignore[misc]
        def __init__(self, image_processor: Any = None, tokenizer: Any = None) -> None:
            template = tokenizer.chat_template
            ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=template)
            _mark_images(self)

    return WithoutVideos(images, tokenizer)


def _text_only(tokenizer: Any) -> Any:
    """A processor that is a tokenizer alone, with a processor's ways of calling it."""
    from transformers import ProcessorMixin

    class TextOnly(ProcessorMixin):  # type: ignore[misc]
        def __init__(self, tokenizer: Any = None) -> None:
            super().__init__(tokenizer, chat_template=tokenizer.chat_template)
            _mark_images(self)

    return TextOnly(tokenizer)


def _mark_images(processor: Any) -> None:
    """Tell the processor which token stands for a picture, as its own constructor would."""
    known = processor.tokenizer.get_vocab()
    token = next((token for token in IMAGE_TOKENS if token in known), None)
    if token is not None:
        processor.image_token, processor.image_token_id = token, known[token]
