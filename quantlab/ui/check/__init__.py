"""The box on the Pick tab into which code, or an error message, is pasted."""
