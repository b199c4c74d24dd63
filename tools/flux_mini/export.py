"""Write data/flux-mini as a plain diffusers pipeline folder.

The folder is written beside its place and renamed, so a reader never sees half of it. Files
written by hand (model card, licence) are carried over from the folder that is replaced.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import torch
from diffusers import FluxPipeline

from tools.flux_mini import model
from tools.flux_mini.concepts import BACKGROUNDS, CONCEPTS, TEMPLATES, caption, held_out
from tools.flux_mini.flow import load_averaged_flow
from tools.flux_mini.paths import EVALUATION, MODEL, WORK
from tools.flux_mini.shipped import write_evaluation_data

__all__ = ["concept_list", "untrained_pipeline", "write_folder"]

# fp16 keeps three more mantissa bits than bf16, and trained weights of this size lie far inside
# its range. Text encoders stay fp32: transformers loads the stored dtype, diffusers fp32, and
# a pipeline loaded without a dtype would otherwise mix two.
STORED_DTYPE = torch.float16
_SHARD = "9MB"
_KEPT = ("README.md", "LICENSE-fluent-emoji", EVALUATION)


def untrained_pipeline(seed: int = 0) -> FluxPipeline:
    """Pipeline with normally distributed weights, which draws noise."""
    torch.manual_seed(seed)
    transformer = model.transformer()
    model.gaussian_(transformer, seed)
    return model.assemble(
        transformer, model.clip_encoder(), model.t5_encoder(), model.autoencoder()
    )


def concept_list() -> dict[str, object]:
    """Content of concepts.json: what the model can draw and how to ask for it."""
    return {
        "image_size": model.IMAGE_SIZE,
        "sequence_length": model.SEQUENCE_LENGTH,
        "steps": model.STEPS,
        "templates": list(TEMPLATES),
        "example": caption(CONCEPTS[0].name, "blue"),
        "backgrounds": {name: list(rgb) for name, rgb in BACKGROUNDS.items()},
        "concepts": [
            {"name": c.name, "aliases": list(c.aliases), "held_out": list(held_out(index))}
            for index, c in enumerate(CONCEPTS)
        ],
    }


def write_folder(pipeline: FluxPipeline, folder: Path) -> None:
    """Save the pipeline into `folder`, replacing it in one rename."""
    fresh = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    pipeline.transformer.to(STORED_DTYPE)
    pipeline.vae.to(STORED_DTYPE)
    pipeline.save_pretrained(fresh, safe_serialization=True, max_shard_size=_SHARD)
    _name_tokenizers(fresh)
    text = json.dumps(concept_list(), indent=1)
    (fresh / "concepts.json").write_text(text + "\n", encoding="utf-8")
    for name in _KEPT:
        old = folder / name
        if old.is_dir():
            shutil.copytree(old, fresh / name)
        elif old.exists():
            shutil.copy2(old, fresh / name)
    for file in fresh.rglob("*.safetensors"):
        file.chmod(0o644)  # the writer makes them private
    previous = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(previous, ignore_errors=True)
    if folder.exists():
        folder.rename(previous)
    fresh.rename(folder)
    shutil.rmtree(previous, ignore_errors=True)


def _name_tokenizers(folder: Path) -> None:
    """Name the tokenizer class as every transformers version knows it."""
    index = folder / "model_index.json"
    text = index.read_text(encoding="utf-8").replace("TokenizersBackend", "PreTrainedTokenizerFast")
    index.write_text(text, encoding="utf-8")
    for name in ("tokenizer", "tokenizer_2"):
        file = folder / name / "tokenizer_config.json"
        config = json.loads(file.read_text(encoding="utf-8"))
        config["tokenizer_class"] = "PreTrainedTokenizerFast"
        file.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--work", type=Path, default=WORK, help="folder of the checkpoints")
    parser.add_argument("--out", type=Path, default=MODEL, help="folder to write")
    parser.add_argument("--untrained", action="store_true", help="normally distributed weights")
    parser.add_argument("--seed", type=int, default=0, help="of the untrained weights")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    write_evaluation_data(args.work, args.out)
    pipeline = untrained_pipeline(args.seed) if args.untrained else load_averaged_flow(args.work)
    write_folder(pipeline, args.out)
    total = sum(file.stat().st_size for file in args.out.rglob("*") if file.is_file())
    print(f"{args.out}: {total / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
