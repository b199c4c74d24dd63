"""What a piece of code loads, and which quantization config it gives to which component."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from quantlab.catalog.gpus import Gpu
from quantlab.catalog.schema import Model, Scheme
from quantlab.catalog.table import Catalog
from quantlab.lab.check.code.read import Program
from quantlab.lab.check.code.values import (
    Argument,
    Call,
    Items,
    Made,
    Part,
    Ref,
    Table,
    Value,
    const,
    within,
)
from quantlab.lab.check.known import Class, Libraries, class_of, libraries, model_of

__all__ = ["PIPELINE_CONFIG", "Code", "Load", "Use", "config_of", "texts"]

MOST_LOADS = 200
"""Loads that are followed in one piece of code."""
LOADING = ("from_pretrained", "from_single_file")
PIPELINE_CONFIG = "PipelineQuantizationConfig"
GENERIC = ("DiffusionPipeline", "AutoPipelineForText2Image", "AutoPipelineForImage2Image",
           "AutoPipelineForInpainting")  # fmt: skip
"""Pipelines whose class is told by what they load."""
PLAIN = GENERIC[:2]
"""Of these, those whose class is the one that a model's file names."""


@dataclass(frozen=True, eq=False)
class Load:
    """A call that loads a pipeline, or a component by itself."""

    call: Call
    cls: Class
    repo: str
    """A repository or folder, "" where that is not known."""
    model: Model | None
    """The catalogue's model that it is, or is a part of."""

    @property
    def is_pipeline(self) -> bool:
        """Whether it loads a whole pipeline."""
        return self.cls.name.endswith("Pipeline") or self.cls.name in GENERIC

    @property
    def pipeline(self) -> str:
        """The class of the pipeline as far as it is known, or ""."""
        if not self.is_pipeline:
            return ""
        if self.cls.name not in GENERIC:
            return self.cls.name
        known = self.cls.name in PLAIN and self.model is not None
        return self.model.pipeline if known and self.model is not None else ""

    @property
    def library_of_part(self) -> str:
        """The library of a component that is loaded by itself, "" where it is not known."""
        return "" if self.is_pipeline else self.cls.library


@dataclass(frozen=True, eq=False)
class Use:
    """A quantization config that is given to a component."""

    load: Load | None
    """None where the code shows the mapping alone."""
    component: str
    """"" where it is loaded by itself and never put into a pipeline."""
    library: str
    config: Value
    argument: Argument


@dataclass
class Code:
    """A program with what is known about the libraries that it uses; what rules look at."""

    program: Program
    catalog: Catalog
    text: str = ""
    gpu: Gpu | None = None
    libraries: Libraries = field(default_factory=libraries)

    @cached_property
    def loads(self) -> list[Load]:
        """Everything that is loaded, in order."""
        found: list[Load] = []
        for call in self.program.calls:
            path, _, method = call.path.rpartition(".")
            cls = class_of(Ref(path)) if path and method in LOADING else None
            if cls is None and path.startswith("?.") and method in LOADING:
                cls = Class("", path[2:])
            if cls is not None and len(found) < MOST_LOADS:
                repo = const(call.value("pretrained_model_name_or_path", 0))
                name = repo if isinstance(repo, str) else ""
                found.append(Load(call, cls, name, model_of(name, self.catalog) if name else None))
        return found

    @cached_property
    def configs(self) -> list[tuple[Call, Class]]:
        """Every quantization config object that is made, with its class."""
        found = []
        for call in self.program.calls:
            cls = class_of(call.function)
            if cls is not None and self._is_config(cls):
                found.append((call, cls))
        return found

    def _is_config(self, cls: Class) -> bool:
        places = [cls.library] if cls.library else list(self.libraries.configs)
        return any(cls.name in self.libraries.configs.get(place, {}) for place in places)

    @cached_property
    def pipeline_configs(self) -> list[Call]:
        """Every ``PipelineQuantizationConfig`` that is made."""
        return [c for c in self.program.calls if c.function and _is_pipeline_config(c)]

    @cached_property
    def uses(self) -> list[Use]:
        """Every config that is given to a component, directly or through a mapping."""
        found = list(self._direct())
        given: dict[Call | None, list[Load]] = {}
        for load in self.loads:
            given.setdefault(config_of(load), []).append(load)
        for call in self.pipeline_configs:
            for each in given.get(call) or (None,):
                found += self._mapped(call, each)
        return found

    def _direct(self) -> Iterator[Use]:
        for load in self.loads:
            argument = load.call.argument("quantization_config")
            if argument is not None and not load.is_pipeline:
                name = self.component_of(load)
                yield Use(load, name, load.cls.library, argument.value, argument)

    def _mapped(self, call: Call, load: Load | None) -> Iterator[Use]:
        mapping = call.value("quant_mapping", 3)
        if isinstance(mapping, Table):
            for name, argument in mapping.entries.items():
                yield Use(load, name, self.library_of(name, load), argument.value, argument)

    def component_of(self, load: Load) -> str:
        """The name under which a component that is loaded by itself goes into a pipeline, or ""."""
        return self._placed.get(load.call, "")

    @cached_property
    def _placed(self) -> dict[Call, str]:
        return {
            argument.value.call: name
            for load in reversed(self.loads)
            if load.is_pipeline
            for name, argument in load.call.kwargs.items()
            if isinstance(argument.value, Made)
        }

    def library_of(self, component: str, load: Load | None) -> str:
        """The library of a pipeline's component, "" where it is not known."""
        known = self.libraries.components(load.pipeline) if load is not None else None
        if known is not None:
            return known.get(component, "")
        if component.startswith(("text_encoder", "image_encoder")):
            return "transformers"
        return "diffusers" if component in ("transformer", "transformer_2", "unet", "vae") else ""

    def chosen(self, config: Call, load: Load | None) -> list[str]:
        """The components that the simple form quantizes: those named, else all with Linear layers
        that are worth it: the denoiser and the text encoders."""
        named = texts(config.value("components_to_quantize", 2))
        if named is not None:
            known = self.libraries.components(load.pipeline) if load is not None else None
            return [name for name in named if known is None or name in known]
        if config.argument("components_to_quantize", 2) is not None:
            return []
        if load is not None and load.model is not None:
            model = load.model
            encoders = [name for name in model.family.encoders if model.component(name)]
            return [model.denoiser, *encoders]
        known = self.libraries.components(load.pipeline) if load is not None else None
        names = known or ("transformer",)
        return [n for n in names if n in ("transformer", "unet") or n.startswith("text_encoder")]

    @cached_property
    def _by_call(self) -> dict[Call, Load]:
        return {load.call: load for load in self.loads}

    @cached_property
    def _calls(self) -> dict[Call, list[Call]]:
        """What is loaded -> calls of it, of its methods and of those of its parts."""
        found: dict[Call, list[Call]] = {load.call: [] for load in self.loads}
        for call in self.program.calls:
            load = self.load_of(call.function)
            if load is not None and call.meets(load.call):
                found[load.call].append(call)
        return found

    def pictures(self, load: Load) -> list[Call]:
        """Calls of the pipeline itself."""
        return [call for call in self._calls[load.call] if isinstance(call.function, Made)]

    def load_of(self, value: Value) -> Load | None:
        """The load whose object, or a part of whose object, a value is."""
        made = next((each for each in within(value) if isinstance(each, Made)), None)
        return self._by_call.get(made.call) if made is not None else None

    def calls_on(self, load: Load, *methods: str) -> list[Call]:
        """Calls of these methods on what was loaded itself, not on its parts."""
        return [call for call in self.calls_within(load, *methods) if isinstance(call.on, Made)]

    def calls_within(self, load: Load, *methods: str) -> list[Call]:
        """Calls of these methods on what was loaded or on a part of it."""
        named = (call for call in self._calls[load.call] if call.method in methods)
        return [call for call in named if isinstance(call.function, Part)]

    def first(self, call: Call) -> int:
        """When a call happens, as a number that grows."""
        return self._order[call]

    @cached_property
    def _order(self) -> dict[Call, int]:
        return {call: index for index, call in enumerate(self.program.calls)}

    @cached_property
    def schemes(self) -> dict[Call, Mapping[str, Scheme]]:
        """What schemes.py has told already, by what is loaded."""
        return {}


def config_of(load: Load) -> Call | None:
    """The call that made the config which is given to a load, or None."""
    value = load.call.value("quantization_config")
    return value.call if isinstance(value, Made) else None


def _is_pipeline_config(call: Call) -> bool:
    return call.path.rpartition(".")[2] == PIPELINE_CONFIG


def texts(value: Value | None) -> list[str] | None:
    """A list of texts, or one text as a list; None where it is neither, or not all known."""
    if isinstance(one := const(value), str):
        return [one]
    if not isinstance(value, Items):
        return None
    found = [const(each) for each in value.values]
    return None if any(not isinstance(each, str) for each in found) else [str(e) for e in found]
