import torch
from diffusers import DiffusionPipeline
from diffusers import TorchAoConfig as DiffusersTorchAoConfig
from diffusers.quantizers import PipelineQuantizationConfig
from torchao.quantization import Int8WeightOnlyConfig
from transformers import TorchAoConfig as TransformersTorchAoConfig

config = PipelineQuantizationConfig(
    quant_mapping={
        "transformer": DiffusersTorchAoConfig(Int8WeightOnlyConfig()),
        "text_encoder_2": TransformersTorchAoConfig(Int8WeightOnlyConfig()),
    }
)
pipe = DiffusionPipeline.from_pretrained(
    "black-forest-labs/FLUX.1-dev",
    quantization_config=config,
    torch_dtype=torch.bfloat16,
)
pipe.enable_model_cpu_offload()
image = pipe("a red fox in the snow", num_inference_steps=28).images[0]
