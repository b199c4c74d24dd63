"""Code that people copy, one piece for each rule of ``check``: what it does when it is run.

``text`` is what is checked and run, from the project's folder. ``raises`` is part of the message
that it stops with; else ``tells``, an expression, gives ``was`` when it has run. After the fix it
gives ``becomes``, or stops with ``then``, where this machine lacks what it needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["NOT_RUN", "SNIPPETS", "Snippet"]


@dataclass(frozen=True)
class Snippet:
    """One piece of code of which a rule says something."""

    rule: str
    text: str
    tells: str = "None"
    raises: str = ""
    was: Any = None
    becomes: Any = None
    then: str = ""
    gpu: str | None = None
    logs: bool = False
    """Whether the libraries log a line about it, which then is one that the rule knows."""


TRANSFORMER = (
    'FluxTransformer2DModel.from_pretrained("data/flux-mini", subfolder="transformer", {})'
)
T5 = 'T5EncoderModel.from_pretrained("data/flux-mini", subfolder="text_encoder_2", {})'
AO = """import torch
from diffusers import FluxTransformer2DModel, TorchAoConfig
from torchao.quantization import Int8WeightOnlyConfig
config = TorchAoConfig(Int8WeightOnlyConfig())
model = """ + TRANSFORMER.format("quantization_config=config")
PLAIN = "from diffusers import FluxTransformer2DModel\nmodel = " + TRANSFORMER.format("")
CPU = '"cpu"'
PIPE = """from diffusers import FluxPipeline
pipe = FluxPipeline.from_pretrained("data/flux-mini")
"""
WEIGHT = "type(model.proj_out.weight).__name__"
T5_WEIGHT = "type(model.encoder.block[0].layer[0].SelfAttention.q).__name__"

SNIPPETS = (
    Snippet(
        "no-such-module",
        "from diffusers import FluxTransformer2DModel, QuantoConfig\n"
        'config = QuantoConfig(weights_dtype="int8", modules_to_not_convert=["projout"])\n'
        "model = " + TRANSFORMER.format("quantization_config=config"),
        "type(model.proj_out).__name__",
        was="QLinear",
        becomes="Linear",
    ),
    Snippet(
        "intx-bytes",
        "import torch\n"
        "from torchao.quantization import IntxWeightOnlyConfig, quantize_\n"
        "layer = torch.nn.Linear(64, 64, bias=False)\n"
        "quantize_(layer, IntxWeightOnlyConfig(weight_dtype=torch.int4))",
        "(layer.weight.qdata.dtype.itemsize, layer.weight.qdata.numel())",
        was=[1, 4096],
    ),
    Snippet(
        "torchao-string",
        'from diffusers import TorchAoConfig\nconfig = TorchAoConfig("int8wo")\n',
        "type(config.quant_type).__name__",
        raises="quant_type must be an AOBaseConfig instance, got str",
        becomes="Int8WeightOnlyConfig",
    ),
    Snippet(
        "torchao-string",
        'from transformers import TorchAoConfig\nconfig = TorchAoConfig("float8_weight_only")\n',
        "type(config.quant_type).__name__",
        raises="is no longer supported",
        becomes="Float8WeightOnlyConfig",
    ),
    Snippet(
        "torchao-function",
        "from torchao.quantization import int8_weight_only\nkind = int8_weight_only()\n",
        "type(kind).__name__",
        raises="cannot import name 'int8_weight_only'",
        becomes="Int8WeightOnlyConfig",
    ),
    Snippet(
        "quantize-by-name",
        f'{PLAIN}\nfrom torchao.quantization import quantize_\nquantize_(model, "int8wo")\n',
        WEIGHT,
        raises="Passing a generic Callable to `quantize_`",
        becomes="Int8Tensor",
    ),
    Snippet(
        "quantize-by-name",
        f"{PLAIN}\nfrom optimum.quanto import freeze, quantize\n"
        'quantize(model, weights="float8")\nfreeze(model)\n',
        "model.proj_out.weight.qtype.name",
        raises="float8",
        becomes="qfloat8_e4m3fn",
    ),
    Snippet(
        "keyword-ignored",
        'from transformers import QuantoConfig\nconfig = QuantoConfig(weights_dtype="float8")\n',
        "config.weights",
        was="int8",
        becomes="float8",
    ),
    Snippet(
        "keyword-ignored",
        'from diffusers import QuantoConfig\nconfig = QuantoConfig(weights="float8")\n',
        "config.weights_dtype",
        was="int8",
        becomes="float8",
    ),
    Snippet(
        "keyword-ignored",
        "import torch\nfrom diffusers import BitsAndBytesConfig\n"
        "config = BitsAndBytesConfig(load_in_4bit=True, compute_dtype=torch.bfloat16)\n",
        "str(config.bnb_4bit_compute_dtype)",
        was="torch.float32",
        becomes="torch.bfloat16",
        logs=True,
    ),
    Snippet(
        "keyword-ignored",
        "from transformers import BitsAndBytesConfig\n"
        'config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_typ="nf4")\n',
        "config.bnb_4bit_quant_type",
        was="fp4",
        becomes="nf4",
        logs=True,
    ),
    Snippet(
        "keyword-refused",
        "import torch\nfrom diffusers import GGUFQuantizationConfig\n"
        "config = GGUFQuantizationConfig(dtype=torch.bfloat16)\n",
        "str(config.compute_dtype)",
        raises="unexpected keyword argument 'dtype'",
        becomes="torch.bfloat16",
    ),
    Snippet(
        "value-refused",
        'from diffusers import QuantoConfig\nconfig = QuantoConfig(weights_dtype="fp8")\n',
        "config.weights_dtype",
        raises="Only support weights in",
        becomes="float8",
    ),
    Snippet(
        "value-refused",
        "from diffusers import BitsAndBytesConfig\n"
        'config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype="bf16")\n',
        "str(config.bnb_4bit_compute_dtype)",
        raises="module 'torch' has no attribute 'bf16'",
        becomes="torch.bfloat16",
    ),
    Snippet(
        "bits-twice",
        "from diffusers import BitsAndBytesConfig\n"
        "config = BitsAndBytesConfig(load_in_4bit=True, load_in_8bit=True)\n",
        raises="load_in_4bit and load_in_8bit are both True",
    ),
    Snippet(
        "fp32-compute",
        "from transformers import BitsAndBytesConfig, T5EncoderModel\n"
        'config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4")\n'
        f"model = {T5.format('quantization_config=config')}\n",
        "str(model.encoder.block[0].layer[0].SelfAttention.q.compute_dtype)",
        was="torch.float32",
        becomes="torch.bfloat16",
    ),
    Snippet(
        "t5-wo",
        "from transformers import QuantoConfig, T5EncoderModel\n"
        'config = QuantoConfig(weights="int8")\n'
        f"model = {T5.format('quantization_config=config')}\n",
        f"({T5_WEIGHT}, type(model.encoder.block[0].layer[-1].DenseReluDense.wo).__name__)",
        was=["QLinear", "Linear"],
    ),
    Snippet(
        "bits-missing",
        "from transformers import BitsAndBytesConfig, T5EncoderModel\n"
        "config = BitsAndBytesConfig(llm_int8_threshold=10.0)\n"
        f"model = {T5.format('quantization_config=config')}\n",
        T5_WEIGHT,
        was="Linear4bit",
        becomes="Linear8bitLt",
    ),
    Snippet(
        "config-by-place",
        "from transformers import BitsAndBytesConfig, T5EncoderModel\n"
        'model = T5EncoderModel.from_pretrained("data/flux-mini", '
        'BitsAndBytesConfig(load_in_8bit=True), subfolder="text_encoder_2")\n',
        T5_WEIGHT,
        raises="takes 2 positional arguments but 3 were given",
        becomes="Linear8bitLt",
    ),
    Snippet(
        "no-such-name",
        "from torchao.quantization import GemliteUIntXWeightOnlyConfig\n",
        raises="cannot import name 'GemliteUIntXWeightOnlyConfig'",
    ),
    Snippet(
        "keyword-refused",
        "from torchao.quantization import Int4WeightOnlyConfig\n"
        "kind = Int4WeightOnlyConfig(group_size=128, use_hqq=True)\n",
        "kind.group_size",
        raises="unexpected keyword argument 'use_hqq'",
        becomes=128,
    ),
    Snippet(
        "value-refused",
        "from transformers import QuantoConfig, T5EncoderModel\n"
        'config = QuantoConfig(weights="int8", activations="int8")\n'
        f"model = {T5.format('quantization_config=config')}\n",
        T5_WEIGHT,
        raises="We don't support quantizing the activations",
        becomes="QLinear",
    ),
    Snippet(
        "lora-on-quantized",
        "from diffusers import FluxPipeline, FluxTransformer2DModel, QuantoConfig\n"
        f"model = {TRANSFORMER.format('quantization_config=QuantoConfig()')}\n"
        'pipe = FluxPipeline.from_pretrained("data/flux-mini", transformer=model)\n'
        'pipe.load_lora_weights("data/loras/mono")\n',
        raises="KeyError: 'proj_out.weight'",
    ),
    Snippet(
        "bits-differ",
        "from diffusers.quantizers import PipelineQuantizationConfig\n"
        'config = PipelineQuantizationConfig(quant_backend="bitsandbytes_4bit", '
        'quant_kwargs={"load_in_8bit": True}, components_to_quantize=["transformer"])\n',
        "(config.quant_backend, "
        'config._resolve_quant_config(True, "transformer").quantization_method())',
        was=["bitsandbytes_4bit", "llm_int8"],
        becomes=["bitsandbytes_8bit", "llm_int8"],
    ),
    Snippet(
        "simple-form-refused",
        "from diffusers.quantizers import PipelineQuantizationConfig\n"
        "from torchao.quantization import Int8WeightOnlyConfig\n"
        'config = PipelineQuantizationConfig(quant_backend="torchao", '
        'quant_kwargs={"quant_type": Int8WeightOnlyConfig()}, '
        'components_to_quantize=["transformer", "text_encoder_2"])\n',
        "{k: type(v).__module__.split('.')[0] for k, v in config.quant_mapping.items()}",
        raises="signatures of the __init__ methods",
        becomes={"transformer": "diffusers", "text_encoder_2": "transformers"},
    ),
    Snippet(
        "simple-form-refused",
        "from diffusers.quantizers import PipelineQuantizationConfig\n"
        'config = PipelineQuantizationConfig(quant_backend="quanto", '
        'quant_kwargs={"weights_dtype": "float8"}, '
        'components_to_quantize=["transformer", "text_encoder_2"])\n',
        "(config.quant_mapping['transformer'].weights_dtype, "
        "config.quant_mapping['text_encoder_2'].weights)",
        raises="signatures of the __init__ methods",
        becomes=["float8", "float8"],
    ),
    Snippet(
        "simple-form-refused",
        "from diffusers.quantizers import PipelineQuantizationConfig\n"
        'config = PipelineQuantizationConfig(quant_backend="sdnq", '
        'quant_kwargs={"weights_dtype": "int8"}, components_to_quantize="transformer")\n',
        "type(config.quant_mapping['transformer']).__name__",
        raises="Provided quant_backend=sdnq was not found",
        becomes="SDNQConfig",
    ),
    Snippet(
        "form-refused",
        "from diffusers.quantizers import PipelineQuantizationConfig\n"
        'config = PipelineQuantizationConfig(quant_backend="bitsandbytes_4bit")\n',
        raises="Both `quant_kwargs` and `quant_mapping` cannot be None",
    ),
    Snippet(
        "mapping-value",
        "from diffusers.quantizers import PipelineQuantizationConfig\n"
        "from torchao.quantization import Int8WeightOnlyConfig\n"
        "config = PipelineQuantizationConfig("
        'quant_mapping={"transformer": Int8WeightOnlyConfig()})\n',
        "type(config.quant_mapping['transformer']).__name__",
        raises="Provided config for module_name=transformer could not be found",
        becomes="TorchAoConfig",
    ),
    Snippet(
        "config-on-pipeline",
        "from diffusers import FluxPipeline, QuantoConfig\n"
        'pipe = FluxPipeline.from_pretrained("data/flux-mini", '
        'quantization_config=QuantoConfig(weights_dtype="int8"))\n',
        "pipe.transformer.proj_out.weight.qtype.name",
        raises="`quantization_config` must be an instance of `PipelineQuantizationConfig`",
        becomes="qint8",
    ),
    Snippet(
        "wrong-library",
        "from diffusers import QuantoConfig\nfrom transformers import T5EncoderModel\n"
        'config = QuantoConfig(weights_dtype="int8")\n'
        f"model = {T5.format('quantization_config=config')}\n",
        T5_WEIGHT,
        raises="'QuantoConfig' object has no attribute 'activations'",
        becomes="QLinear",
    ),
    Snippet(
        "wrong-library",
        "from transformers import QuantoConfig\nfrom diffusers import FluxTransformer2DModel\n"
        'config = QuantoConfig(weights="int8")\n'
        f"model = {TRANSFORMER.format('quantization_config=config')}\n",
        "model.proj_out.weight.qtype.name",
        raises="'QuantoConfig' object has no attribute 'weights_dtype'",
        becomes="qint8",
    ),
    Snippet(
        "wrong-library",
        "from diffusers import BitsAndBytesConfig\nfrom transformers import T5EncoderModel\n"
        'config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", '
        'bnb_4bit_compute_dtype="bfloat16")\n'
        f"model = {T5.format('quantization_config=config')}\n",
        T5_WEIGHT,
        raises="is not a `BitsAndBytesConfig`",
        becomes="Linear4bit",
    ),
    Snippet(
        "no-such-component",
        "from diffusers import FluxPipeline, QuantoConfig\n"
        "from diffusers.quantizers import PipelineQuantizationConfig\n"
        'config = PipelineQuantizationConfig(quant_mapping={"unet": QuantoConfig()})\n'
        'pipe = FluxPipeline.from_pretrained("data/flux-mini", quantization_config=config)\n',
        "type(pipe.transformer.proj_out).__name__",
        was="Linear",
        becomes="QLinear",
        logs=True,
    ),
    Snippet(
        "load-flag-ignored",
        'from diffusers import FluxPipeline\npipe = FluxPipeline.from_pretrained("data/flux-mini", '
        "load_in_8bit=True)\n",
        "type(pipe.transformer.proj_out).__name__",
        was="Linear",
        then="No GPU found. A GPU is needed for quantization.",
        logs=True,
    ),
    Snippet(
        "load-flag-ignored",
        "from diffusers import FluxTransformer2DModel\n"
        f"model = {TRANSFORMER.format('load_in_4bit=True')}\n",
        "type(model.proj_out).__name__",
        was="Linear",
        then="No GPU found. A GPU is needed for quantization.",
    ),
    Snippet(
        "load-flag-refused",
        f"from transformers import T5EncoderModel\nmodel = {T5.format('load_in_8bit=True')}\n",
        T5_WEIGHT,
        raises="unexpected keyword argument 'load_in_8bit'",
        becomes="Linear8bitLt",
    ),
    Snippet(
        "argument-ignored",
        'from diffusers import FluxPipeline\npipe = FluxPipeline.from_pretrained("data/flux-mini", '
        "quantize=True)\n",
        "type(pipe.transformer.proj_out).__name__",
        was="Linear",
        becomes="Linear",
        logs=True,
    ),
    Snippet(
        "everything-quantized",
        "from diffusers.quantizers import PipelineQuantizationConfig\n"
        'config = PipelineQuantizationConfig(quant_backend="bitsandbytes_4bit", '
        'quant_kwargs={"load_in_4bit": True, "bnb_4bit_compute_dtype": "bfloat16"})\n',
        'config._resolve_quant_config(True, "vae") is not None',
        was=True,
    ),
    Snippet(
        "gguf-config-without-file",
        "import torch\nfrom diffusers import FluxTransformer2DModel, GGUFQuantizationConfig\n"
        "config = GGUFQuantizationConfig(compute_dtype=torch.bfloat16)\n"
        f"model = {TRANSFORMER.format('quantization_config=config')}\n",
        raises="Object of type dtype is not JSON serializable",
    ),
    Snippet(
        "device-map-on-pipeline",
        'from diffusers import FluxPipeline\npipe = FluxPipeline.from_pretrained("data/flux-mini", '
        'device_map="auto")\n',
        raises="auto not supported. Supported strategies are: balanced",
        becomes=None,
    ),
    Snippet(
        "group-offload-blocks",
        f'import torch\n{PLAIN}\nmodel.enable_group_offload(onload_device=torch.device("cpu"))\n',
        raises="`num_blocks_per_group` must be provided",
    ),
    Snippet(
        "cast-quantized",
        f"{AO}\nmodel = model.to(torch.float16)\n",
        WEIGHT,
        raises="Casting a quantized model to a new `dtype` is unsupported",
        becomes="Int8Tensor",
    ),
    Snippet(
        "cast-quantized",
        f"{AO}\nmodel.half()\n",
        WEIGHT,
        raises="`.half()` is not supported for quantized model",
        becomes="Int8Tensor",
    ),
    Snippet(
        "cast-quantized",
        f'{AO}\nmodel.to("cpu", torch.float16)\n',
        WEIGHT,
        raises="Casting a quantized model to a new `dtype` is unsupported",
        becomes="Int8Tensor",
    ),
    Snippet(
        "layerwise-on-pipeline",
        f"import torch\n{PIPE}pipe.enable_layerwise_casting("
        "storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.bfloat16)\n",
        "str(pipe.transformer.single_transformer_blocks[0].proj_mlp.weight.dtype)",
        raises="has no attribute 'enable_layerwise_casting'",
        becomes="torch.float8_e4m3fn",
    ),
    Snippet(
        "quantized-twice",
        f"{AO}\nfrom torchao.quantization import quantize_\n"
        "quantize_(model, Int8WeightOnlyConfig())\n",
        raises="attempting to run unimplemented operator",
    ),
    Snippet(
        "not-frozen",
        f"{PLAIN}\nfrom optimum.quanto import qint8, quantize\nquantize(model, weights=qint8)\n",
        WEIGHT,
        was="Parameter",
    ),
    Snippet(
        "needs-package",
        "from diffusers import FluxTransformer2DModel, TorchAoConfig\n"
        "from torchao.quantization import Int4WeightOnlyConfig\n"
        "config = TorchAoConfig(Int4WeightOnlyConfig())\n"
        f"model = {TRANSFORMER.format('quantization_config=config')}\n",
        raises="Requires mslk >= 1.0.0",
    ),
    Snippet(
        "card-lacks",
        "from diffusers import FluxTransformer2DModel, TorchAoConfig\n"
        "from torchao.quantization import Float8DynamicActivationFloat8WeightConfig\n"
        "config = TorchAoConfig(Float8DynamicActivationFloat8WeightConfig())\n"
        f"model = {TRANSFORMER.format('quantization_config=config')}\n",
        raises="Float8 dynamic quantization requires CUDA compute capability",
        gpu="rtx-3090-24gb",
    ),
    Snippet(
        "bitsandbytes-on-cpu",
        "import torch\nfrom diffusers import BitsAndBytesConfig, FluxTransformer2DModel\n"
        "config = BitsAndBytesConfig(load_in_8bit=True)\n"
        f"model = {TRANSFORMER.format('quantization_config=config, device_map=' + CPU)}\n",
        raises="No GPU found",
    ),
    Snippet(
        "no-such-argument",
        f'{PIPE}image = pipe("a fox", steps=1, height=64, width=64).images[0]\n',
        "image.size",
        raises="unexpected keyword argument 'steps'",
        becomes=[64, 64],
    ),
    Snippet(
        "size-rounded",
        f'{PIPE}image = pipe("a fox", num_inference_steps=1, height=70, width=70).images[0]\n',
        "(image.size, FIXED)",
        was=[[64, 64], False],
        becomes=[[64, 64], True],
        logs=True,
    ),
    Snippet(
        "text-too-long",
        f'{PIPE}image = pipe("a fox", num_inference_steps=1, height=64, width=64, '
        "max_sequence_length=1024).images[0]\n",
        "image.size",
        raises="`max_sequence_length` cannot be greater than 512",
        becomes=[64, 64],
    ),
    Snippet(
        "prompt-cut",
        f'{PIPE}words = "{"fox " * 40}"\n'
        "image = pipe(words, num_inference_steps=1, height=64, width=64, "
        "max_sequence_length=32).images[0]\n",
        "image.size",
        was=[64, 64],
        logs=True,
    ),
    Snippet(
        "guidance-ignored",
        f'import torch\n{PIPE}g = torch.Generator().manual_seed(0)\nimage = pipe("a fox", '
        "num_inference_steps=1, height=64, width=64, guidance_scale=7.0, generator=g).images[0]\n",
        "__import__('hashlib').sha1(image.tobytes()).hexdigest() == hashlib_of(pipe)",
        was=True,
        becomes=True,
    ),
    Snippet(
        "negative-ignored",
        f'import torch\n{PIPE}g = torch.Generator().manual_seed(0)\nimage = pipe("a fox", '
        "num_inference_steps=1, height=64, width=64, generator=g, "
        'negative_prompt="blue").images[0]\n',
        "__import__('hashlib').sha1(image.tobytes()).hexdigest() == hashlib_of(pipe)",
        was=True,
        becomes=True,
    ),
    Snippet(
        "layerwise-on-quantized",
        f"{AO}\nmodel.enable_layerwise_casting("
        "storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.float32)\n",
        WEIGHT,
        was="Int8Tensor",
        becomes="Int8Tensor",
    ),
)

NEEDS_GPU = "needs a GPU: diffusers has no offload without one"
NOT_RUN = {
    "mapped-and-moved": "needs two GPUs",
    "out-of-memory": "is a prediction for a card",
    "moved-and-offloaded": NEEDS_GPU,
    "sequential-offload-moved": NEEDS_GPU,
    "sequential-offload-quantized": NEEDS_GPU,
    "group-offload-quantized": NEEDS_GPU,
    "fp16-flux": "the full model's activations overflow, flux-mini's do not",
    "eager-slow": "seconds of an H100, published",
    "slower-than-bf16": "seconds of an H100, published",
    "gguf-on-pipeline": "needs a repository's file",
    "gguf-without-config": "needs a repository's file",
    "stored-quantized": "needs a repository's weights",
    "many-steps": "is about quality, not about what runs",
}
"""Rules whose code is not run in the tests, and why not."""
