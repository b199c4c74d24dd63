"""The command line: one file a command."""

from quantlab.cli.commands import main

__all__ = ["main"]
