"""Lines for processors whose own class cannot be read on a machine like this one."""

from __future__ import annotations

from quantlab.catalog.schema import Model
from quantlab.lab.load.processor import comes_late, load_processor, needs_stand_in
from quantlab.lab.script.script import Script

__all__ = ["write_processors"]


def write_processors(script: Script, model: Model) -> None:
    """Lines for processors whose own class cannot be read on a machine like this one."""
    if not model.family.processors or not needs_stand_in():
        return
    script.embed(load_processor)
    names = model.family.processors
    script.before.append("folder = MODEL")
    if not model.local:
        script.modules.add("huggingface_hub")
        patterns = [f"{name}/*" for name in names]
        revision = f'revision="{model.revision}", '
        script.before[-1] = (
            f"folder = huggingface_hub.snapshot_download("
            f"MODEL, {revision}allow_patterns={patterns})"
        )
    for name, cls in names.items():
        script.before.append(f'{name} = load_processor(f"{{folder}}/{name}")')
        if comes_late(cls):
            script.after.append(f"pipe.register_modules({name}={name})")
        (script.late if comes_late(cls) else script.ready).append(name)
