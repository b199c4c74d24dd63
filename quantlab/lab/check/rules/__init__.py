"""One function a rule; a file here is a subject. `../every.py` finds them by listing the folder."""
