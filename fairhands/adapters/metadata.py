"""What Stability's model specification has an adapter's file say of itself."""

from ..base_models import BaseModel
from ..base_models.process import Diffusion
from .description import ARCHITECTURES


def model_specification(base: BaseModel, adapter: str, title: str) -> dict[str, str]:
    """Its fields.

    Args:
        base: what the adapter is for.
        adapter: "lora", "controlnet" or "t2i-adapter".
        title: its name for people.
    """
    return {
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": f"{ARCHITECTURES[base.family]}/{adapter}",
        "modelspec.implementation": "diffusers",
        "modelspec.title": title,
        "modelspec.resolution": f"{base.resolution}x{base.resolution}",
        "modelspec.prediction_type": _prediction(base),
    }


def _prediction(base: BaseModel) -> str:
    if isinstance(base.process, Diffusion):
        return {"noise": "epsilon", "velocity": "v"}[base.process.predicts]
    return "flow"
