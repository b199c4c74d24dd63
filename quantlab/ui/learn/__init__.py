"""What quantization is, in few words, at the place where the question arises."""
