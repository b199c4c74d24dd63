"""Families: kinds of pipelines, one file each; a new one is a new file here and nothing else.

``family.py`` says what a family is and does everything in one generic way; each other file holds
one value called ``FAMILY``. Nothing here imports torch or reads a file.
"""

from quantlab.families.family import Family, Guidance
from quantlab.families.find import families, family_called, family_of, pipelines

__all__ = ["Family", "Guidance", "families", "family_called", "family_of", "pipelines"]
