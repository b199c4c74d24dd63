"""The ways of getting a scheme onto a component, one file each; see lab/load/way.py."""
