"""What ZeroGPU does not do: plans refused beforehand, and its client's errors as what they are.

The client raises gradio's errors, httpx's and its own; they are told apart by their titles, so that
nothing of gradio is imported here.
"""

from __future__ import annotations

import re

from quantlab.catalog.gpus import load_gpus
from quantlab.catalog.table import Catalog
from quantlab.errors import DoesNotFit, InputError, QuantlabError, RunError, Unavailable
from quantlab.lab.load.fits import place_on
from quantlab.lab.runners.zerogpu_cost import quota_seconds
from quantlab.words.comparison import Comparison
from quantlab.words.plan import Plan

__all__ = ["death", "explain", "refusal", "worker_died"]

HALF = "zerogpu-half"


def refusal(comparison: Comparison, plan: Plan, catalog: Catalog) -> QuantlabError | None:
    """Why no GPU time is spent on ``plan``, or None."""
    if plan.compiled:
        return Unavailable(
            "torch.compile is not possible on ZeroGPU, where every call runs in a forked "
            f"process; {str(plan).removesuffix('@compiled')} runs"
        )
    half = load_gpus()[HALF]
    try:
        place_on(half, comparison, plan, catalog)
    except DoesNotFit as error:
        return DoesNotFit(
            f"{half.name}: {error}; the full card at twice the quota is not used here"
        )
    except InputError as error:
        return error
    return None


def worker_died(error: Exception) -> bool:
    """Whether ``error`` is the client's way of saying that the worker's process is gone."""
    return getattr(error, "title", "") == "ZeroGPU worker error" and "aborted" in str(error)


def death(elapsed_s: float, seconds: int) -> RunError:
    """The error of a plan whose worker is gone after ``elapsed_s`` of ``seconds`` asked for."""
    if elapsed_s >= seconds:
        return RunError(f"the GPU worker was ended: it took more than the {seconds} s asked for")
    return RunError("the GPU worker died; out of memory is the usual cause")


def explain(error: Exception, seconds: int) -> RunError:
    """What the ``spaces`` client raised, as what it is. ``seconds`` is the time asked for."""
    title = str(getattr(error, "title", ""))
    said = re.sub(r"<[^>]*>", "", str(getattr(error, "message", "") or error)).strip()
    quota = quota_seconds(seconds)
    if "No GPU was available after" in said:  # titled as a quota error for visitors without account
        return RunError("no GPU became free within a minute; run again in some minutes")
    if title == "ZeroGPU quota exceeded":
        reason = said.partition(" Try re-running outside of examples")[0]
        return RunError(
            f"the ZeroGPU quota does not cover this comparison ({quota} s): {reason} Recorded "
            f"results cost nothing; fewer plans or steps cost less"
        )
    if title in ("ZeroGPU illegal duration", "ZeroGPU pending credits exceeded"):
        return RunError(
            f"ZeroGPU refuses {quota} s at once; run fewer plans, fewer steps or a smaller size"
        )
    if title == "ZeroGPU client error" and "token" in said:
        return RunError("the visit is too old to be given a GPU; reload the page and run again")
    if title == "ZeroGPU client error":
        return RunError("no GPU is available at the moment; run again in some minutes")
    if title == "ZeroGPU worker error":
        return RunError(f"the GPU worker could not do its work ({said})")
    if "closed by visitor" in said:
        return RunError("the page was closed while it waited for a GPU")
    return RunError(f"the GPU service does not answer as it should ({type(error).__name__})")
