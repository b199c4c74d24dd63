"""What is held with ``quantlab[auto-round,lpips]`` installed: ``make extras``. The test run does
without them, since they bring along what nothing else needs (pyarrow, torchvision)."""
