"""What is held with ``quantlab[lpips]`` installed: ``make extras``. The test run does without it,
since it brings along what nothing else needs (torchvision). ``make extras`` gives each extra an
environment of its own: transformers imports torchvision wherever there is one, and a package index
has it built for the torch with CUDA, so that beside a torch for CPUs AutoRound would not load."""
