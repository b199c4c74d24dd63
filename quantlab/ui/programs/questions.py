"""What programs ask of the catalogue: which methods, which plan, how many bytes. Nothing is run.

See programs/api.py, which offers them.
"""

from typing import Any

from quantlab.catalog.comparison import make_comparison
from quantlab.record.asking import predicted, proposed, recommended
from quantlab.record.documents import choice_documents
from quantlab.ui.programs.input import maybe, number, one_sentence, text, texts
from quantlab.ui.programs.settings import checked, takes_settings
from quantlab.ui.services import Services
from quantlab.words.comparison import Comparison

__all__ = ["comparison_of", "predict", "propose", "recommend"]


def recommend(
    services: Services,
    hardware: str | None = None,
    bits: float | None = None,
    needs: list[str] | None = None,
    library: str | None = None,
    model: str | None = None,
    memory_gib: float | None = None,
    gpu: str | None = None,
) -> list[dict[str, Any]]:
    """Say which quantization methods suit a machine, a bit width and needs, best first, the
    rejected ones included, each with its verdict, evidence, predicted bytes and reasons.

    Args:
        hardware: cpu, cuda, rocm, metal or intel; any of them if left out.
        bits: Bit width of the weights, for example 4.
        needs: Any of compile, peft, lora, qat, serializable, on-the-fly, speed.
        library: transformers or diffusers.
        model: A model's id, such as flux3-klein or flux1-dev; fills in bytes.
        memory_gib: Memory of the device in GiB, held against the predicted peak of the model.
        gpu: A GPU's id instead of hardware and memory_gib, one of those that predict names.

    Returns:
        A list of objects: method, scheme, verdict, evidence, bytes, reasons, here.
    """
    with one_sentence():
        rows = recommended(
            services.catalog,
            services.measured,
            hardware=maybe("hardware", hardware),
            bits=number("bits", bits),
            needs=texts("needs", needs),
            library=maybe("library", library),
            model=maybe("model", model),
            memory_gib=number("memory_gib", memory_gib),
            gpu=maybe("gpu", gpu),
        )
        return [row.as_dict() for row in rows]


def propose(
    services: Services,
    model: str,
    gpu: str | None = None,
    hardware: str | None = None,
    memory_gib: float | None = None,
    ram_gib: float | None = None,
    bits: float | None = None,
    needs: list[str] | None = None,
    width: int | None = None,
    height: int | None = None,
    batch: int | None = None,
    references: int | None = None,
    steps: int | None = None,
) -> list[dict[str, Any]]:
    """Say which plan to take on a device: at most three, the fastest whose picture stays close,
    the best picture and the smallest, each with memory, seconds, loss, reasons and a script.

    Args:
        model: A model's id, such as flux1-dev or flux2-klein-4b.
        gpu: A card as people call it, such as rtx-3060-12gb or 4060ti 16gb.
        hardware: Instead of gpu, with memory_gib: cuda, rocm, metal, intel or cpu.
        memory_gib: Memory of the device in GiB.
        ram_gib: The host's memory in GiB; not checked if left out.
        bits: Bit width of the denoiser's weights, for example 4.
        needs: What its scheme must have, such as compile, lora or speed.
        width: Pixels; the model's default if left out.
        height: Pixels; the model's default if left out.
        batch: Images at once.
        references: Pictures to go by.
        steps: Denoising steps; the model's default if left out.

    Returns:
        A list of objects, empty where nothing fits: labels, plan, placement, peak_bytes,
        host_bytes, download_bytes, image_s, image_s_why, loss, reasons, install, snippet; and
        settings, where it fits only with one, such as vae_tiling.
    """
    sizes = {"width": width, "height": height, "steps": steps}
    with one_sentence():
        picture: dict[str, Any] = {name: number(name, value) for name, value in sizes.items()}
        answer = proposed(
            services.catalog,
            services.measured,
            model=text("model", model),
            gpu=maybe("gpu", gpu),
            hardware=maybe("hardware", hardware),
            memory_gib=number("memory_gib", memory_gib),
            ram_gib=number("ram_gib", ram_gib),
            bits=number("bits", bits),
            needs=texts("needs", needs),
            batch=number("batch", batch),
            references=number("references", references),
            **picture,
        )
        return services.do(choice_documents, answer.choices, model, picture)


@takes_settings(lambda row: row.sized)
def predict(
    services: Services,
    plans: list[str],
    model: str = "flux1-dev",
    gpu: str | None = None,
    hardware: str | None = None,
    memory_gib: float | None = None,
    ram_gib: float | None = None,
    **given: Any,
) -> list[dict[str, Any]]:
    """Predict the bytes that plans of a model take (weights, peak, host memory, download), which
    GPUs they fit and, of a device that is named, where they are kept there and how long an image
    takes; nothing is downloaded and nothing is run.

    Args:
        plans: One to six plans, such as bnb-nf4 or transformer=bnb-nf4,text_encoder_2=quanto-int8.
        model: A model's id, such as flux3-klein or flux1-dev.
        gpu: A card as people call it, such as rtx-3060-12gb or 4060ti 16gb.
        hardware: Instead of gpu, with memory_gib: cuda, rocm, metal, intel or cpu.
        memory_gib: Memory of the device in GiB.
        ram_gib: The host's memory in GiB; not checked if left out.

    Returns:
        For each plan its component, total, peak, host and download bytes, and fits by GPU; for a
        device also placement, image_s, image_s_why and largest_size.
    """
    with one_sentence():
        comparison = comparison_of(services, plans, model, {"prompt": "", **given})
        rows = predicted(
            services.catalog,
            services.measured,
            comparison,
            gpu=maybe("gpu", gpu),
            hardware=maybe("hardware", hardware),
            memory_gib=number("memory_gib", memory_gib),
            ram_gib=number("ram_gib", ram_gib),
        )
        return [row.as_dict() for row in rows]


def comparison_of(
    services: Services, plans: object, model: object, given: dict[str, Any]
) -> Comparison:
    """The comparison that a caller describes.

    Raises:
        InputError: names the part that is wrong.
    """
    return make_comparison(
        plans=texts("plans", plans),
        model=text("model", model),
        catalog=services.catalog,
        **checked(given),
    )
