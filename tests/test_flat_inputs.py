"""lab/load/weights.py: packed weights and inputs that PyTorch multiplies batch by batch."""

from __future__ import annotations

import pytest
import torch
import torchao

from quantlab.catalog.table import load_catalog
from quantlab.lab.load.weights import flatten_inputs
from quantlab.lab.specs import build

SCHEMES = load_catalog().schemes
FLAT = [scheme.id for scheme in SCHEMES.values() if scheme.flat_inputs]


@pytest.mark.parametrize("scheme", FLAT)
@pytest.mark.parametrize("bias", [False, True])
def test_transposed_tokens_are_multiplied_as_rows(scheme: str, bias: bool) -> None:
    spec = SCHEMES[scheme].spec("diffusers")
    assert spec is not None
    torch.manual_seed(0)
    layer = torch.nn.Linear(64, 32, bias=bias, dtype=torch.bfloat16)
    model = torch.nn.Sequential(layer, torch.nn.Linear(32, 5, dtype=torch.bfloat16))
    plain = model[1].forward
    torchao.quantize_(model, build(spec, "torch.bfloat16").quant_type, lambda one, _: one is layer)
    tokens = torch.randn(1, 64, 6, dtype=torch.bfloat16).transpose(1, 2)  # as a latent is unpacked
    with torch.no_grad():  # in inference mode torchao is asked about the whole layer instead
        expected = model(tokens[0].contiguous())
        with pytest.raises(NotImplementedError, match="expand"):
            model(tokens)
        flatten_inputs(model)
        assert torch.equal(model(tokens), expected[None])
        assert torch.equal(model(tokens.expand(2, 6, 64)), torch.stack([expected, expected]))
    assert model[1].forward == plain
