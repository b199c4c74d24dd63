"""A pipeline's processor on a machine without torchvision.

transformers reads a processor such as ``Qwen3VLProcessor`` whole or not at all, and its part for
videos needs torchvision, which must be built for the very torch that is installed: PyPI's beside a
torch for CPUs fails when it is imported, and takes ``AutoProcessor`` along. No pipeline here feeds
it a video. Without torchvision this makes the stored processor, of its own class, without that
part, its pictures resized by Pillow; where the class itself asks for torchvision, only text is
left.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from quantlab.errors import LoadError
from quantlab.lab.libraries import resolve

__all__ = ["comes_late", "load_processor", "needs_stand_in", "read_processors"]


def comes_late(cls: str) -> bool:
    """Whether a pipeline can only be given this processor once it is made: diffusers cannot hold
    what stands in for a class that itself asks for torchvision against that class."""
    return needs_stand_in() and getattr(resolve(f"transformers.{cls}"), "is_dummy", False)


def needs_stand_in() -> bool:
    """Whether a processor's own class cannot be read here."""
    return not resolve("transformers.utils.import_utils.is_torchvision_available")()


def read_processors(folder: Path, names: Iterable[str]) -> dict[str, Any]:
    """What stands in for the processors ``names`` of a pipeline; nothing where none has to.

    Raises:
        LoadError: one does not say of which class it is, or has no tokenizer.
    """
    if not needs_stand_in():
        return {}
    try:
        return {name: load_processor(str(folder / name)) for name in names}
    except (OSError, ValueError, KeyError) as error:
        raise LoadError(f"a processor cannot be read: {error}") from error


def load_processor(folder: str) -> Any:
    """The processor that is stored in ``folder``; without torchvision, as much of it as there is.

    Raises:
        KeyError: the folder does not say which processor it is of.
        OSError: there is no tokenizer in it.
    """
    import json
    import pathlib

    import transformers
    from transformers.utils.import_utils import is_torchvision_available

    if is_torchvision_available():
        return transformers.AutoProcessor.from_pretrained(folder)
    said: dict[str, Any] = {}
    for file in ("tokenizer_config.json", "preprocessor_config.json", "processor_config.json"):
        path = pathlib.Path(folder, file)
        if path.exists():
            said |= json.loads(path.read_text(encoding="utf-8"))
    cls = getattr(transformers, said["processor_class"])
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    mixin = transformers.ProcessorMixin

    def with_pictures(self: Any, image_processor: Any = None, tokenizer: Any = None) -> None:
        mixin.__init__(self, image_processor, tokenizer, chat_template=tokenizer.chat_template)

    def text_only(self: Any, tokenizer: Any = None) -> None:
        mixin.__init__(self, tokenizer, chat_template=tokenizer.chat_template)

    if getattr(cls, "is_dummy", False):  # the class itself asks for torchvision
        processor = type("TextOnly", (mixin,), {"__init__": text_only})(tokenizer)
    else:
        images = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")
        made = type("WithoutVideos", (cls,), {"__init__": with_pictures})
        processor = made(images, tokenizer)
    known = tokenizer.get_vocab()
    for token in ("<|image_pad|>", "[IMG]"):  # what stands for a picture: Qwen's, Mistral's
        if token in known:
            processor.image_token, processor.image_token_id = token, known[token]
            break
    return processor
