"""What is the same for everybody: made, compressed and kept once."""
