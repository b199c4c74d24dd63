"""GGUF: a file of block-quantized weights, read into diffusers' own model class.

The file comes from the hub where one is known; of a local model it is written here on first use.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from quantlab.catalog.paths import PROJECT, cache_folder, whole_file
from quantlab.catalog.schema import Method, Scheme
from quantlab.errors import PlanError
from quantlab.lab.hub import snapshot as hub
from quantlab.lab.libraries import resolve
from quantlab.lab.load.part import Loaded, Part
from quantlab.lab.load.way import Way
from quantlab.lab.script.script import Script
from quantlab.lab.specs import build, render

__all__ = ["WAY", "write_gguf"]


class _Gguf(Way):
    fuses = False
    quantizes = False

    def fetch(self, part: Part, say: Callable[[str], None]) -> bool:
        if _is_written(part):
            return True
        hub.file(*_on_hub(part), say)
        return False

    def load(self, part: Part) -> Loaded:
        module = resolve(part.cls).from_single_file(
            _made(part) if _is_written(part) else str(hub.file(*_on_hub(part), lambda _: None)),
            config=str(part.files().at(part.component.name)),
            quantization_config=build(part.spec, part.dtype),
            dtype=resolve(part.dtype),
        )
        keeps = () if part.known.layers else part.model.gguf_keeps(part.known.id)
        return Loaded(module, "from_single_file", keeps)

    def write(self, part: Part, script: Script) -> None:
        name, model = part.component.name, part.model
        expression, modules = render(part.spec, part.dtype)
        script.modules |= modules
        if _is_written(part):
            path = f"{model.id}-{name}-{_label(part)}.gguf"
            script.embed(write_gguf)
            script.before += _writing(part, path, script)
        else:
            path = "https://huggingface.co/{}/blob/main/{}".format(*_on_hub(part))
        script.before += [
            f"{name} = {part.cls}.from_single_file(",
            f'    "{path}",',
            "    config=MODEL,",
            f'    subfolder="{name}",',
            f"    quantization_config={expression},",
            f"    dtype={part.dtype},",
            ")",
        ]
        script.made(name)

    def why_not_saved(self, part: Part, method: Method) -> str:
        cell = method.cell("serializable", part.scheme)
        return cell.note or f"{method.name} does not save what it quantizes ({cell.source})"


def _is_written(part: Part) -> bool:
    """Whether the file is made here of the base weights, rather than fetched as it is."""
    return part.model.local or part.component.is_plain_file or bool(part.known.layers)


def _type(scheme: Scheme) -> str:
    """GGUF's name of the scheme's type, such as "Q4_0"."""
    return scheme.id.removeprefix("gguf-").upper()


def _types(part: Part) -> tuple[str, dict[str, str]]:
    """The type of most weights, and by tensor those of others; what stays as it is, is F32."""
    layers = part.known.layers
    if not layers:
        return _type(part.known), {f"{module}.weight": "F32" for module in part.kept}
    return "F32", {f"{name}.weight": _type(scheme) for name, scheme in layers.items()}


def _label(part: Part) -> str:
    """What tells the file from those of other schemes."""
    return part.known.id if part.known.layers else _type(part.known)


def _writing(part: Part, path: str, script: Script) -> list[str]:
    """The lines that write ``path``."""
    name, (kind, kinds) = part.component.name, _types(part)
    called = part.model.family.architecture
    folder = f'f"{{MODEL}}/{name}"'
    lines = []
    if part.component.is_plain_file:
        folder = f'"{script.folder(part)}"'
    elif not part.model.local:
        script.modules.add("huggingface_hub")
        lines.append(
            f'BASE = huggingface_hub.snapshot_download(MODEL, allow_patterns=["{name}/*"])'
        )
        folder = f'f"{{BASE}}/{name}"'
    if not kinds:
        return [*lines, f'write_gguf({folder}, "{path}", "{called}", "{kind}")']
    tensors = [f'    "{tensor}": "{each}",' for tensor, each in kinds.items()]
    given = f'{folder}, "{path}", "{called}", "{kind}", TYPES'
    matters = _importance(part)
    if matters is not None:
        shipped = matters.is_relative_to(PROJECT) and not part.model.own
        given += f", {(matters.relative_to(PROJECT) if shipped else matters).as_posix()!r}"
    return [*lines, "TYPES = {", *tensors, "}", f"write_gguf({given})"]


def _importance(part: Part) -> Path | None:
    """The file of a mix by which its weights are rounded, if it has one."""
    return PROJECT / part.known.importance if part.known.importance else None


def _on_hub(part: Part) -> tuple[str, str]:
    """The repository and the file of a scheme.

    Raises:
        PlanError: none is known.
    """
    scheme = part.known.id
    known = part.model.gguf_with(scheme)
    if known is None:
        raise PlanError(f"no {scheme} file of {part.model.id} is known")
    return known.repo, known.files[scheme]


def _made(part: Part) -> str:
    """A GGUF file of a component, made of its base weights on first use and kept.

    Its name carries the fingerprint of these weights and of what a mix is made of: new ones get a
    new file.
    """
    name, (kind, kinds) = part.component.name, _types(part)
    marks = [_label(part), part.weights_mark()]
    if kinds:
        matters = _importance(part)
        made_of = repr(kinds).encode() + (matters.read_bytes() if matters else b"")
        marks.append(hashlib.sha256(made_of).hexdigest()[:12])
    model = part.model.id.replace("/", "-")
    path = cache_folder() / f"{model}-{name}-{'-'.join(marks)}.gguf"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        called, by = part.model.family.architecture, str(_importance(part) or "")
        with part.files().weights(part) as folder, whole_file(path) as to:
            write_gguf(folder, str(to), called, kind, kinds, by)
    return str(path)


def write_gguf(
    folder: str,
    path: str,
    architecture: str,
    kind: str,
    kinds: dict[str, str] | None = None,
    importance: str = "",
) -> None:
    """Write a diffusers model's safetensors in ``folder`` to a GGUF file at ``path``.

    ``architecture`` is what the file calls it. Weights (2-D tensors of that name) are stored as
    ``kind``, such as "Q4_K"; ``kinds`` names others by tensor, such as {"proj_out.weight": "F32"}.
    Rows that are no whole number of a type's blocks are stored as Q8_0, or as F32 where its blocks
    of 32 do not divide them, as everything else is. ggml's own quantizer packs them; it rounds by
    ``importance``, a safetensors file with the mean square of each input of a tensor by its name.
    """
    import ctypes
    import pathlib

    import gguf
    import libggml
    import numpy
    from safetensors.torch import load_file

    found = pathlib.Path(libggml.__file__).parent.rglob("*ggml-base*")
    built = [str(file) for file in found if file.suffix in (".so", ".dylib", ".dll")]
    pack = ctypes.CDLL(min(built)).ggml_quantize_chunk
    size, place = ctypes.c_int64, ctypes.c_void_p
    pack.argtypes = [ctypes.c_int, place, place, size, size, size, place]
    pack.restype = ctypes.c_size_t

    matters = load_file(importance) if importance else {}
    writer = gguf.GGUFWriter(path, arch=architecture)
    for shard in sorted(pathlib.Path(folder).glob("*.safetensors")):
        for name, tensor in load_file(shard).items():
            values = tensor.float().numpy()
            multiplied = values.ndim == 2 and name.endswith(".weight")  # tables and tokens are not
            asked = (kinds or {}).get(name, kind) if multiplied else "F32"
            fitting = (
                gguf.GGMLQuantizationType[each]
                for each in (asked, "Q8_0", "F32")
                if values.shape[-1] % gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[each]][0] == 0
            )
            stored = next(fitting)
            if stored.name != "F32":
                rows, columns = values.shape
                block, block_bytes = gguf.GGML_QUANT_SIZES[stored]
                packed = numpy.empty((rows, columns // block * block_bytes), numpy.uint8)
                by = matters[name].data_ptr() if name in matters else None
                pack(stored, values.ctypes.data, packed.ctypes.data, 0, rows, columns, by)
                writer.add_tensor(name, packed, raw_dtype=stored)
            else:
                writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


WAY = _Gguf()
