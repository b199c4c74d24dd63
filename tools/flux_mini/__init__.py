"""The recipe of flux-mini, a Flux small enough to ship that draws recognisable things.

One command per stage, each resumable by running it again:

    python -m tools.flux_mini.data          fetch the source images, pack the sprites
    python -m tools.flux_mini.autoencoder   train the AutoencoderKL
    python -m tools.flux_mini.flow          train the transformer and both text encoders
    python -m tools.flux_mini.export        write data/flux-mini from the averaged weights
    python -m tools.flux_mini.evaluate      measure what was exported

Scratch (sprites, checkpoints, loss curves, sample grids) lives in .work/flux-mini.
"""
