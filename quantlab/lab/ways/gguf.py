"""GGUF: a file of block-quantized weights, read into diffusers' own model class.

The file comes from the hub where one is known; of a local model it is written here on first use.
"""

from __future__ import annotations

from collections.abc import Callable

from quantlab.catalog.paths import PROJECT, cache_folder
from quantlab.catalog.schema import Method
from quantlab.errors import PlanError
from quantlab.lab.hub import snapshot as hub
from quantlab.lab.hub.files import fingerprint
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
        hub.file(*_on_hub(part), say)
        return False

    def load(self, part: Part) -> Loaded:
        module = resolve(part.cls).from_single_file(
            _made(part) if part.model.local else str(hub.file(*_on_hub(part), lambda _: None)),
            config=part.files().folder,
            subfolder=part.component.name,
            quantization_config=build(part.spec, part.dtype),
            dtype=resolve(part.dtype),
        )
        return Loaded(module, "from_single_file", part.model.gguf_keeps(part.known.id))

    def write(self, part: Part, script: Script) -> None:
        name, model = part.component.name, part.model
        expression, modules = render(part.spec, part.dtype)
        script.modules |= modules
        if model.local:
            path = f"{model.id}-{name}-{_kind(part)}.gguf"
            script.embed(write_gguf)
            script.before.append(f'write_gguf(f"{{MODEL}}/{name}", "{path}", "{_kind(part)}")')
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
        script.arguments.append(f"    {name}={name},")

    def why_not_saved(self, part: Part, method: Method) -> str:
        cell = method.cell("serializable", part.scheme)
        return cell.note or f"{method.name} does not save what it quantizes ({cell.source})"


def _kind(part: Part) -> str:
    """GGUF's name of the scheme's type, such as "Q4_0"."""
    return part.known.id.removeprefix("gguf-").upper()


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
    """A GGUF file of a local model's component, made on first use and kept.

    Its name carries the weights' fingerprint: new weights get a new file.
    """
    kind, name = _kind(part), part.component.name
    folder = PROJECT / part.model.source / name
    path = cache_folder() / f"{part.model.id}-{name}-{kind}-{fingerprint(folder)}.gguf"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_gguf(str(folder), str(path), kind)
    return str(path)


def write_gguf(folder: str, path: str, kind: str) -> None:
    """Write a diffusers transformer's safetensors in ``folder`` to a GGUF file of ``kind``.

    The weights of Linear layers (2-D, rows a multiple of 32) are stored as ``kind``, such as
    "Q4_0"; everything else as F32. The file appears whole or not at all.
    """
    import os
    import pathlib

    import gguf
    from safetensors.numpy import load_file

    quantized = gguf.GGMLQuantizationType[kind]
    temporary = f"{path}.{os.getpid()}.part"
    writer = gguf.GGUFWriter(temporary, arch="flux")
    for shard in sorted(pathlib.Path(folder).glob("*.safetensors")):
        for name, array in load_file(shard).items():
            values = array.astype("float32")
            if values.ndim == 2 and values.shape[1] % 32 == 0:
                packed = gguf.quants.quantize(values, quantized)
                writer.add_tensor(name, packed, raw_dtype=quantized)
            else:
                writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    os.replace(temporary, path)


WAY = _Gguf()
