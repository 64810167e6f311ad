"""The advanced and the custom sampler as nodes of a graph, ours and ComfyUI's, with the same inputs."""

from typing import Any

from comfy_graphs import GraphBuilder, Link

VISUAL: dict[str, Any] = {
    "w": 2.0,
    "mode": "fast",
    "first_timestep": 650.0,
    "last_timestep": 150.0,
    "window_in": "timesteps",
    "schedule": "noise",
    "every": 1,
    "normalisation": "unit",
    "recurrence": 1,
    "weigh_by_score": False,
    "measure_effect": False,
    "decoder": "auto",
    "detection_threshold": 0.3,
    "download_missing": False,
}
STEPS: dict[str, Any] = {
    "add_noise": "enable",
    "noise_seed": 7,
    "steps": 4,
    "cfg": 3.0,
    "sampler_name": "euler",
    "scheduler": "normal",
    "start_at_step": 0,
    "end_at_step": 10000,
    "return_with_leftover_noise": "disable",
}

Parts = dict[str, Link]


def advanced(graph: GraphBuilder, parts: Parts, latent: Link, critic: str, **changes: Any) -> str:
    """Hand-Guided KSampler (Advanced)."""
    inputs = parts | STEPS | VISUAL | {"latent_image": latent}
    inputs["discriminator"] = [graph.add("FairHandsLoadHandDiscriminator", discriminator=critic), 0]
    return graph.add("FairHandsHandGuidedKSamplerAdvanced", **(inputs | changes))


def plain_advanced(graph: GraphBuilder, parts: Parts, latent: Link, **changes: Any) -> Link:
    """KSamplerAdvanced."""
    inputs = {key: parts[key] for key in ("model", "positive", "negative")}
    return [graph.add("KSamplerAdvanced", **(inputs | STEPS | {"latent_image": latent} | changes)), 0]


def guider(graph: GraphBuilder, parts: Parts, model: Link) -> Link:
    """CFGGuider of a model."""
    prompts = {key: parts[key] for key in ("positive", "negative")}
    return [graph.add("CFGGuider", model=model, cfg=3.0, **prompts), 0]


def sigmas(graph: GraphBuilder, parts: Parts, steps: int = 4, denoise: float = 1.0) -> Link:
    """BasicScheduler of the parts' model."""
    return [graph.add("BasicScheduler", model=parts["model"], scheduler="normal", steps=steps, denoise=denoise), 0]


def custom(graph: GraphBuilder, parts: Parts, model: Link, latent: Link, **changes: Any) -> str:
    """Hand-Guided Sampler (Custom) on a guider of the model."""
    return graph.add("FairHandsHandGuidedSamplerCustom", **_custom(graph, parts, model, latent, changes))


def plain_custom(graph: GraphBuilder, parts: Parts, model: Link, latent: Link, **changes: Any) -> str:
    """SamplerCustomAdvanced on a guider of the model."""
    return graph.add("SamplerCustomAdvanced", **_custom(graph, parts, model, latent, changes))


def _custom(graph: GraphBuilder, parts: Parts, model: Link, latent: Link, changes: dict[str, Any]) -> dict[str, Any]:
    inputs = {
        "noise": [graph.add("RandomNoise", noise_seed=7), 0],
        "guider": guider(graph, parts, model),
        "sampler": [graph.add("KSamplerSelect", sampler_name="euler"), 0],
        "sigmas": sigmas(graph, parts),
        "latent_image": latent,
    }
    return inputs | changes
