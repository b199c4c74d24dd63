"""What a scheme can do, found out by doing it: one function per capability.

Each takes a ``Subject``, a scheme on one component of a model, and gives a ``Finding``. A library
that refuses raises, which the caller turns into a finding (probe/worker.py). What is loaded is
loaded afresh for every capability, so that none sees what another did to the weights.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from typing import Any

from quantlab.catalog.schema import Scheme
from quantlab.errors import Unavailable, VerificationError, first_line
from quantlab.lab.bench.fidelity import image_array, is_flat, relative_l2
from quantlab.lab.bench.run import FirstStep, forward
from quantlab.lab.keep.scratch import scratch
from quantlab.lab.libraries import load, resolve, torch
from quantlab.lab.load.way import ways
from quantlab.lab.load.weights import plain_tensors, stored_bytes, verify
from quantlab.lab.probe.subject import Finding, Subject
from quantlab.lab.specs import simple_form, spec_for

__all__ = ["TABLE"]

MIB = 2**20
RELOAD_REL_L2 = 0.02
"""Above this a reloaded model is another model: half of the error of an 8-bit scheme."""
COMPILED_REL_L2 = 0.01
"""Compiled kernels sum in another order; more than this is not rounding."""
MOVED_REL_L2 = 0.05
"""Layer by layer bfloat16's 8 bits add up to about a hundredth; more than this is not rounding."""
TRAIN_STEPS = 4


def probe_load(subject: Subject) -> Finding:
    """Load, and check that every layer holds the scheme."""
    if not subject.facts.loadable:
        return subject.attempt()
    loaded = subject.load()
    size = loaded.weights_bytes[subject.component]
    return Finding("yes", f"{size / MIB:.2f} MiB stored; {loaded.way}")


def probe_run(subject: Subject) -> Finding:
    """Make an image; it must be finite and show something."""
    run = subject.run(subject.load().pipe)
    if not run.finite:
        return Finding("no", "the latents contain NaN or infinity")
    if is_flat(image_array(run.image)):
        return Finding("no", "the image is of one colour")
    return Finding("yes", f"{run.step_s:.3f} s a step")


def probe_save_reload(subject: Subject) -> Finding:
    """Save with ``save_pretrained``, reload, and hold bytes and output against the original."""
    pipe = subject.load().pipe
    module, step = subject.module(pipe), subject.run(pipe).first
    with scratch() as folder:
        module.save_pretrained(folder)
        again = type(module).from_pretrained(folder, dtype=subject.dtype).eval()
    before, after = stored_bytes(module), stored_bytes(again)
    difference = relative_l2(subject.output(again, step), subject.output(module, step))
    said = f"{before} bytes stored, {after} after reloading, output rel. L2 {difference:.2g}"
    try:
        verify(again, subject.facts, subject.component)
    except VerificationError as error:
        return Finding("no", f"reloaded as something else ({error}); {said}")
    return Finding("yes" if difference <= RELOAD_REL_L2 else "no", said)


def probe_compile(subject: Subject) -> Finding:
    """Compile the repeated blocks; graph breaks are counted, the output must stay."""
    compiler = load("torch._dynamo")
    counters = resolve("torch._dynamo.utils.counters")
    pipe = subject.load().pipe
    module, step = subject.module(pipe), subject.run(pipe).first
    eager = subject.output(module, step)
    compiler.reset()
    counters.clear()
    module.compile_repeated_blocks()
    started = time.perf_counter()
    try:
        compiled = subject.output(module, step)
    except compiler.exc.TorchDynamoException as error:  # what the compiler and its backends raise
        return Finding("no", first_line(error))
    seconds = time.perf_counter() - started
    graphs = int(counters["stats"]["unique_graphs"])
    breaks = sum(counters["graph_break"].values())
    difference = relative_l2(compiled, eager)
    said = (
        f"{graphs} graphs, {breaks} graph breaks, output rel. L2 {difference:.2g}, "
        f"first call {seconds:.0f} s"
    )
    return Finding("yes" if graphs and difference <= COMPILED_REL_L2 else "no", said)


def probe_lora(subject: Subject) -> Finding:
    """Add a PEFT LoRA and train it a few steps: the loss falls, the base stays as it was."""
    try:
        config = resolve("peft.LoraConfig")
    except Unavailable:
        return Finding("skipped", "peft is not installed")
    pipe = subject.load().pipe
    module, step = subject.module(pipe), subject.run(pipe).first
    base = list(module.named_parameters())
    before = _digest(base)
    module.requires_grad_(False)
    module.add_adapter(config(r=4, lora_alpha=4, target_modules=["to_q", "to_k", "to_v"]))
    trained = {name: p for name, p in module.named_parameters() if p.requires_grad}
    if not trained or not all("lora_" in name for name in trained):
        return Finding("no", "the adapter is not what would be trained")
    with torch().enable_grad():
        if not step.again(module).requires_grad:
            return Finding("no", "the adapter runs, but gradients do not pass quantized layers")
    losses = _train(module, step, list(trained.values()))
    if _digest(base) != before:
        return Finding("no", "training changed the base weights")
    said = f"loss {losses[0]:.3g} to {losses[-1]:.3g} in {TRAIN_STEPS} steps, base unchanged"
    return Finding("yes" if losses[-1] < losses[0] else "no", said)


def _train(module: Any, step: FirstStep, parameters: list[Any]) -> list[float]:
    """Losses of a few steps towards an output that is a tenth larger."""
    target = step.output.detach().float() * 1.1
    optimizer = resolve("torch.optim.AdamW")(parameters, lr=2e-3)
    losses = []
    for _ in range(TRAIN_STEPS + 1):
        with torch().enable_grad():
            loss = (step.again(module).float() - target).square().mean()
            loss.backward()
        losses.append(float(loss.detach()))
        optimizer.step()
        optimizer.zero_grad()
    return losses


def probe_offload(subject: Subject) -> Finding:
    """Model offload, then group offload, each through one image."""
    name = subject.device.target
    if subject.device.is_cpu:
        return Finding("skipped", "offload needs an accelerator")
    pipe = subject.load().pipe
    pipe.enable_model_cpu_offload(device=name)
    whole = subject.run(pipe)
    module = subject.module(subject.load().pipe)
    module.to("cpu")
    kind = resolve("torch.device")
    module.enable_group_offload(kind(name), kind("cpu"), offload_type="leaf_level")
    output = subject.output(module, whole.first)
    finite = whole.finite and bool(torch().isfinite(output).all())
    return Finding("yes" if finite else "no", "model offload and group offload, both ran")


def probe_dtype_move(subject: Subject) -> Finding:
    """Move the component to another dtype: a library refuses, or must hold and compute the same."""
    pipe = subject.load().pipe
    module, step = subject.module(pipe), subject.run(pipe).first
    before, output = stored_bytes(module), subject.output(module, step)
    other = resolve("torch.float32" if subject.dtype is torch().bfloat16 else "torch.bfloat16")
    module.to(other)
    name = str(other).removeprefix("torch.")
    said = f"moved to {name}: {before} bytes before, {stored_bytes(module)} after"
    try:
        verify(module, subject.facts, subject.component)
        difference = relative_l2(forward(module, step, other, subject.device.target), output)
    except VerificationError as error:
        return Finding("no", f"holds something else ({error}); {said}")
    except (RuntimeError, TypeError, ValueError) as error:
        return Finding("no", f"does not run any more ({first_line(error)}); {said}")
    said += f", output rel. L2 {difference:.2g}"
    return Finding("yes" if difference <= MOVED_REL_L2 else "no", said)


def probe_simple_form(subject: Subject) -> Finding:
    """Build diffusers' simple form with this scheme's own arguments."""
    scheme = subject.facts
    if scheme.simple is None and not ways()[str(scheme.way)].by_config:
        return Finding("skipped", "is no config but a method of the model")
    if scheme.simple is not None:
        backend = scheme.simple[0]
        simple_form(scheme, [subject.component])
        return Finding("yes", f'quant_backend="{backend}"')
    backend = _backend(scheme)
    resolve("diffusers.quantizers.PipelineQuantizationConfig")(
        quant_backend=backend,
        quant_kwargs=dict(spec_for(scheme, "diffusers").args),
        components_to_quantize=[subject.component],
    )
    return Finding("yes", f'quant_backend="{backend}"')


def _backend(scheme: Scheme) -> str:
    """The name under which diffusers knows the scheme's config class."""
    known: Mapping[str, Any] = resolve("diffusers.quantizers.auto.AUTO_QUANTIZATION_CONFIG_MAPPING")
    cls = resolve(spec_for(scheme, "diffusers").path)
    return next((name for name, value in known.items() if value is cls), scheme.method)


def _digest(parameters: list[tuple[str, Any]]) -> str:
    digest = hashlib.sha256()
    for name, parameter in parameters:
        digest.update(name.encode())
        for plain in plain_tensors(parameter):
            flat = plain.detach().cpu().contiguous().reshape(-1)  # a 0-D tensor has no view
            digest.update(flat.view(torch().uint8).numpy().tobytes())
    return digest.hexdigest()


Probe = Callable[[Subject], Finding]
TABLE: Mapping[str, Probe] = {
    "load": probe_load,
    "run": probe_run,
    "save-reload": probe_save_reload,
    "compile": probe_compile,
    "lora": probe_lora,
    "offload": probe_offload,
    "simple-form": probe_simple_form,
    "dtype-move": probe_dtype_move,
}
