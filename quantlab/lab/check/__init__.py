"""Pasted code: read, never run, and held against the same catalogue as plans.

Nothing here imports torch or anything of the code that is checked.
"""
