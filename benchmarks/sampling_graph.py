"""The graphs of the sampling benchmark: SD1.5's full shape, plain and with each kind of guidance."""

import json
import math
from dataclasses import dataclass
from typing import Any

from devtools.client import ComfyClient
from devtools.steps import StepFailed

Graph = dict[str, Any]

CRITIC, LORA = "studio_critic.safetensors", "bench_lora.safetensors"
PLAIN = "model"
# What each kind of guidance writes into the trace for a picture that it moved.
MOVES = {
    "fast": ("step_rms",),
    "fast_vae": ("step_rms",),
    "both": ("step_rms", "difference_rms"),
    "exact": ("step_rms",),
}
# The start mask's side, relative to the picture's: random pictures show no hand.
HAND = 1 / 3
WINDOW = {"first_timestep": 650.0, "last_timestep": 150.0}
INSIDE = 400
CFG = 7.5


@dataclass(frozen=True)
class Scale:
    """Pixels of the picture's side, and steps; half of them lie in the window."""

    size: int
    steps: int


class Graphs:
    """Builds graphs for one server, whose own defaults fill the inputs that are not named here."""

    def __init__(self, client: ComfyClient, scale: Scale):
        self.scale = scale
        self._description = client.get("/object_info")

    def sample(self, guidance: str, seed: int) -> Graph:
        """A run of the node `sampler`; `guidance` is one of MOVES, or PLAIN.

        All kinds are in each graph, so that ComfyUI keeps what was loaded from run to run; only that of the sampler's
        model runs.
        """
        graph = self._shared()
        graph["begin"] = self._node("BenchBegin", latent=["latent", 0], seed=seed, model=[guidance, 0])
        graph["sampler"] = self._node(
            "KSampler",
            model=[guidance, 0],
            positive=["model", 2],
            negative=["model", 3],
            latent_image=["begin", 0],
            seed=seed,
            steps=self.scale.steps,
            cfg=CFG,
            sampler_name="euler",
            scheduler="simple",
        )
        graph["result"] = self._node("BenchResult", latent=["sampler", 0])
        if guidance != PLAIN:
            graph["plot"] = self._node("FairHandsGuidanceTracePlot", trace=[guidance, 1], after=["sampler", 0])
            graph["trace"] = self._node("PreviewAny", source=["plot", 1])
        return graph

    def idle(self) -> Graph:
        """The peak of memory before any model is there, of the node `result`."""
        graph = {"latent": self._shared()["latent"]}
        graph["begin"] = self._node("BenchBegin", latent=["latent", 0], seed=0)
        graph["result"] = self._node("BenchResult", latent=["begin", 0])
        return graph

    def operations(self, guidance: str) -> Graph:
        """The count of one step's operations, of the node `operations`."""
        graph = self._shared()
        graph["operations"] = self._node(
            "BenchOperations",
            model=[guidance, 0],
            positive=["model", 2],
            negative=["model", 3],
            latent=["latent", 0],
            cfg=CFG,
            timestep=INSIDE,
        )
        return graph

    def _shared(self) -> Graph:
        size, hand = self.scale.size, round(self.scale.size * HAND)
        visual = {
            "model": ["model", 0],
            "vae": ["model", 1],
            "discriminator": ["critic", 0],
            "start_mask": ["start", 0],
            **WINDOW,
        }
        lora = {"model": ["fast", 0], "lora_name": LORA, "applies_to": "cond", "v": 1.0, **WINDOW}
        start = {"x": (size - hand) // 2, "y": (size - hand) // 2, "operation": "add"}
        return {
            "model": self._node("BenchModel"),
            "latent": self._node("EmptyLatentImage", width=size, height=size),
            "critic": self._node("FairHandsLoadHandDiscriminator", discriminator=CRITIC),
            "empty": self._node("SolidMask", value=0.0, width=size, height=size),
            "hand": self._node("SolidMask", value=1.0, width=hand, height=hand),
            "start": self._node("MaskComposite", destination=["empty", 0], source=["hand", 0], **start),
            "fast": self._node("FairHandsHandVisualGuidance", mode="fast", decoder="tiny", **visual),
            "fast_vae": self._node("FairHandsHandVisualGuidance", mode="fast", decoder="vae", **visual),
            "exact": self._node("FairHandsHandVisualGuidance", mode="exact", decoder="tiny", **visual),
            "both": self._node("FairHandsHandLoraGuidance", decoder="tiny", **lora),
        }

    def _node(self, class_type: str, **inputs: Any) -> dict[str, Any]:
        required: dict[str, list[Any]] = self._description[class_type]["input"].get("required", {})
        defaults = {
            name: kind[1]["default"] for name, kind in required.items() if len(kind) > 1 and "default" in kind[1]
        }
        return {"class_type": class_type, "inputs": defaults | inputs}


def require_guided(trace: str, guidance: str, steps: int) -> None:
    """Raises StepFailed where that kind of guidance did not move the picture at each of so many steps.

    `trace`: the JSON of one run's trace.
    """
    moved = sum(
        all(math.isfinite(step["images"][0][name] or 0) and step["images"][0][name] for name in MOVES[guidance])
        for step in json.loads(trace)["steps"]
    )
    if moved != steps:
        raise StepFailed(f"guidance {guidance} moved the picture at {moved} steps, expected {steps}: {trace}")
