"""What a command names of one's own: a model, a LoRA, pictures to go by."""

from __future__ import annotations

import argparse
import sys

__all__ = ["admit_named"]


def admit_named(arguments: argparse.Namespace) -> None:
    """Have whatever ``arguments`` name of one's own known, and put its id in their place.

    Raises:
        QuantlabError: it is not there, or cannot be used; the message names it.
    """
    _admit_model(arguments)
    _admit_lora(arguments)
    _admit_references(arguments)


def _admit_model(arguments: argparse.Namespace) -> None:
    """A folder or repository that --model names becomes a model of the catalogue.

    Raises:
        QuantlabError: as ``lab.hub.admit.admit`` does.
    """
    named = getattr(arguments, "model", None)
    if not named:
        return
    from quantlab.lab.hub.admit import about, admit, names_own

    if names_own(named):
        model = admit(named)
        print(f"quantlab: {about(model)}", file=sys.stderr)
        arguments.model = model.id


def _admit_lora(arguments: argparse.Namespace) -> None:
    """A folder or file that --lora names becomes one that comparisons may name.

    Raises:
        InputError: as ``lab.lora.file.admit_lora`` does.
    """
    named = getattr(arguments, "lora", None)
    if named:
        from quantlab.lab.lora.file import admit_lora

        arguments.lora = admit_lora(named)


def _admit_references(arguments: argparse.Namespace) -> None:
    """The files that --reference names are kept under digests, which comparisons may name.

    Raises:
        InputError, StoreError: as ``lab.references.admit_reference`` does.
    """
    named = getattr(arguments, "reference", None)
    if isinstance(named, list):  # of a gate it is a plan
        from quantlab.lab.references import admit_reference

        digests = [admit_reference(each) for each in named]
        for name, digest in zip(named, digests, strict=True):
            print(f"quantlab: the picture {name} is {digest}", file=sys.stderr)
        arguments.reference = ",".join(digests)
