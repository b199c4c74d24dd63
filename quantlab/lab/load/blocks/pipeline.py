"""A pipeline of blocks (diffusers' ModularPipeline) with the surface of a plain pipeline.

The blocks are parted where a prompt is encoded, so that it is encoded once and the rest runs
without the text encoders. Blocks have no callback: a step is over when the scheduler has made it.
What is done to a component, quantizing it above all, is not known here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from quantlab.lab.libraries import resolve, torch

__all__ = ["ENCODED", "BlockPipeline", "blocks_of"]

ENCODED = ("prompt", "prompt_embeds", "negative_prompt_embeds")
"""What encoding blocks hand on; a prompt is handed on where one of them rewrites it."""

AfterStep = Callable[[Any, int, Any, dict[str, Any]], dict[str, Any]]


def blocks_of(pipeline: str, without: set[str]) -> Any:
    """The blocks of a class of pipelines, but for those that need a component of ``without``."""
    blocks = resolve(f"diffusers.{resolve(f'diffusers.{pipeline}').default_blocks_name}")()
    for name, block in list(blocks.sub_blocks.items()):
        if without & {spec.name for spec in block.expected_components}:
            blocks.sub_blocks.pop(name)
    return blocks


class BlockPipeline:
    """The pipeline of class ``pipeline`` with these components; what it lacks is left out.

    ``modules`` are the components with weights by name, None for one that is not there now, of
    which ``encoders`` read the prompt.
    ``extras`` are parts without weights, such as tokenizers; schedulers and the like are made as
    the blocks describe them where ``extras`` has none.
    """

    def __init__(
        self,
        pipeline: str,
        modules: Mapping[str, Any],
        encoders: tuple[str, ...],
        extras: Mapping[str, Any],
        optional: tuple[str, ...] = (),
    ) -> None:
        self.left_out = {name for name in optional if name not in modules}
        blocks = blocks_of(pipeline, self.left_out)
        self._encoding = []
        for name, block in list(blocks.sub_blocks.items()):
            needed = {spec.name for spec in block.expected_components}
            if needed & set(encoders):
                self._encoding.append(blocks.sub_blocks.pop(name).init_pipeline())
        self._drawing = blocks.init_pipeline()
        self.pipeline = pipeline
        self.config: dict[str, Any] = {}
        for stage in self._stages:
            given = {**{n: m for n, m in modules.items() if m is not None}, **extras}
            known = {n: part for n, part in given.items() if n in stage._component_specs}
            stage.update_components(**known)
        self._extras = {n: p for n, p in extras.items() if n in self.components}
        self._modules = dict(modules)

    @property
    def components(self) -> dict[str, Any]:
        """All parts by name, those without weights too."""
        parts: dict[str, Any] = {}
        for stage in self._stages:
            parts |= {n: p for n, p in stage.components.items() if p is not None}
        return parts

    @property
    def extras(self) -> dict[str, Any]:
        """The parts without weights that were given."""
        return self._extras

    @property
    def modules(self) -> dict[str, Any]:
        """The components with weights that are there."""
        return {name: module for name, module in self._modules.items() if module is not None}

    @property
    def _stages(self) -> list[Any]:
        return [*self._encoding, self._drawing]

    @property
    def _execution_device(self) -> Any:
        return self._drawing._execution_device

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._modules:
            raise AttributeError(name)
        return self._modules[name]

    def __setattr__(self, name: str, value: Any) -> None:
        """A component that is set takes the place of the other, as with a plain pipeline."""
        if name not in self.__dict__.get("_modules", {}):
            object.__setattr__(self, name, value)
            return
        self._modules[name] = value
        for stage in self._stages:
            if name in stage._component_specs:
                stage.register_components(**{name: value})

    def set_progress_bar_config(self, **options: Any) -> None:
        """As in diffusers, for the denoising loop."""
        for block in _nested(self._drawing._blocks):
            if hasattr(block, "set_progress_bar_config"):
                block.set_progress_bar_config(**options)

    def encode_prompt(
        self,
        prompt: str,
        do_classifier_free_guidance: bool = False,
        max_sequence_length: int | None = None,
        max_new_tokens: int | None = None,
        negative_prompt: str = "",
    ) -> tuple[Any, Any]:
        """The embeddings of the prompt and of the negative one, (1, tokens, width); or None."""
        limits = {"max_sequence_length": max_sequence_length, "max_new_tokens": max_new_tokens}
        given: dict[str, Any] = {"prompt": prompt}
        given |= {name: value for name, value in limits.items() if value is not None}
        if do_classifier_free_guidance:
            given["negative_prompt"] = negative_prompt
        for stage in self._encoding:
            _bring(stage.components.values())
            taken = {param.name for param in stage._blocks.inputs}
            state = stage(**{name: value for name, value in given.items() if name in taken})
            found = {name: state.get(name) for name in ENCODED}
            given |= {name: value for name, value in found.items() if value is not None}
        return given["prompt_embeds"], given.get("negative_prompt_embeds")

    def __call__(
        self,
        *,
        prompt_embeds: Any = None,
        negative_prompt_embeds: Any = None,
        num_inference_steps: int,
        guidance_scale: float = 1.0,
        max_sequence_length: int | None = None,  # noqa: ARG002 the prompt is encoded by now
        max_new_tokens: int | None = None,  # noqa: ARG002 and written
        width: int,
        height: int,
        image: Any = None,
        generator: Any = None,
        callback_on_step_end: AfterStep | None = None,
    ) -> SimpleNamespace:
        """Denoise and decode; what it returns has ``images``, as with diffusers' pipelines.

        ``image`` is a list of pictures (PIL) to go by; blocks are picked by what there is.
        """
        known = {"negative_prompt_embeds": negative_prompt_embeds, "image": image}
        given = {"prompt_embeds": prompt_embeds}
        given |= {name: value for name, value in known.items() if value is not None}
        if "guider" in self._drawing._component_specs:
            scale = guidance_scale if negative_prompt_embeds is not None else 1.0
            guider = type(self._drawing.guider)(guidance_scale=scale)
            self._drawing.update_components(guider=guider)
        with self._told(callback_on_step_end):
            images = self._drawing(
                **given,
                num_inference_steps=num_inference_steps,
                width=width,
                height=height,
                generator=generator,
                output="images",
            )
        return SimpleNamespace(images=images)

    @contextmanager
    def _told(self, callback: AfterStep | None) -> Iterator[None]:
        """Have ``callback`` told of each step, by the scheduler."""
        scheduler = self._drawing.scheduler
        step, done = scheduler.step, 0

        def stepped(output: Any, time: Any, latents: Any, **more: Any) -> Any:
            nonlocal done
            found = step(output, time, latents, **more)
            if callback is not None:
                first = found[0] if isinstance(found, tuple) else found.prev_sample
                callback(self, done, time, {"latents": first})
            done += 1
            return found

        scheduler.step = stepped
        try:
            yield
        finally:
            del scheduler.step

    def enable_model_cpu_offload(self, device: str) -> None:
        """One component on ``device`` at a time, by diffusers' own manager of components."""
        manager = resolve("diffusers.ComponentsManager")()
        for name, module in self._modules.items():
            if module is not None:
                manager.add(name, module)
        manager.enable_auto_cpu_offload(device=device, offload_strategy=_all_others)

    def enable_group_offload(self, onload_device: Any, **options: Any) -> None:
        """Single leaves on ``onload_device``, in every component with weights."""
        apply = resolve("diffusers.hooks.apply_group_offloading")
        for module in [m for m in self._modules.values() if m is not None]:
            apply(module, onload_device=onload_device, **options)

    def load_lora_weights(self, source: str, **options: Any) -> None:
        """Beside the denoiser's weights; so are the next three, as in diffusers."""
        self._drawing.load_lora_weights(source, **options)

    def set_adapters(self, names: str, weights: float) -> None:
        """How strong an adapter is."""
        self._drawing.set_adapters(names, weights)

    def fuse_lora(self, **options: Any) -> None:
        """Add what is loaded to the weights."""
        self._drawing.fuse_lora(**options)

    def unload_lora_weights(self) -> None:
        """Take what is loaded off again."""
        self._drawing.unload_lora_weights()

    def to(self, device: str) -> BlockPipeline:
        """Move all weights."""
        for part in self._modules.values():
            if isinstance(part, torch().nn.Module):
                part.to(device)
        return self


def _bring(parts: Iterable[Any]) -> None:
    """Have offloaded parts on their device now: a prompt is written where its model lies."""
    for part in parts:
        hook = getattr(part, "_hf_hook", None)
        if hook is not None:
            hook.pre_forward(part)


def _all_others(hooks: list[Any], **_: Any) -> list[Any]:
    """What goes when a component comes: one is on the device at a time, as is predicted."""
    return hooks


def _nested(block: Any) -> Iterator[Any]:
    yield block
    for inner in getattr(block, "sub_blocks", {}).values():
        yield from _nested(inner)
