"""Hand Mask While Sampling: how a guided MODEL finds hands, and how their mask accumulates."""

import comfy.model_patcher
import comfy.sd
import torch
from comfy_api.latest import io

from ..fairhands.guidance.cumulative_mask import MaskGrowth
from ..fairhands.guidance.follow import ATTENTION, FALLBACKS, START_MASK, parse_fallbacks
from ..fairhands.hands.masks import MaskStyle, Shape
from .connections import CATEGORY
from .decoding import CHOICES, decoder_files, decoder_for
from .detector import download_input, hand_detector, threshold_input
from .guidance_inputs import decoder_input, either_start, patched_outputs, refuse_unknown, start_mask_input
from .guidance_patch import guided
from .guidance_plan import MaskPart, changed, plan_of
from .hand_words import WITHOUT_CROSS_ATTENTION, cross_attention_modules
from .mask_inputs import SHAPES, background_input, feather_input, search_inputs, shape_inputs


class HandMaskWhileSampling(io.ComfyNode):
    """MODEL -> MODEL with settings of the cumulative hand mask."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """What the page shows of the node."""
        return io.Schema(
            node_id="FairHandsHandMaskWhileSampling",
            display_name="Hand Mask While Sampling",
            category=CATEGORY,
            description=(
                "Says how hands are looked for while sampling, and how their mask grows. Put it before or behind "
                "Hand Visual Guidance and Hand LoRA Guidance, where their usual settings are not enough."
            ),
            inputs=[
                io.Model.Input("model", tooltip="The model that guidance nodes before or behind this one guide."),
                io.Vae.Input("vae", tooltip="Decodes the estimates in which hands are looked for."),
                decoder_input(),
                threshold_input("detection_threshold", 0.5),
                *search_inputs(),
                io.Int.Input(
                    "look_every", default=1, min=1, max=100, tooltip="Look for hands only at each n-th guided step."
                ),
                *shape_inputs("hull"),
                feather_input(),
                io.Float.Input(
                    "largest",
                    default=1.0,
                    min=0.01,
                    max=1.0,
                    step=0.01,
                    tooltip="Largest share of the picture that the mask may cover; hands beyond it are left out.",
                ),
                io.Int.Input(
                    "remember",
                    default=0,
                    min=0,
                    max=100,
                    tooltip="0: the mask only grows. n: it shrinks back to the last n detections, for objects that a "
                    "growing mask swallows.",
                ),
                io.String.Input(
                    "fallbacks",
                    default="",
                    tooltip=f"What to try where no hand was found yet, in this order, with commas: "
                    f"{', '.join(FALLBACKS)}. Named here, the start mask is kept back until then.",
                ),
                download_input(),
                start_mask_input(),
                io.Clip.Input("clip", optional=True, tooltip="For the fallback attention: it encodes hand_words."),
                io.String.Input(
                    "hand_words",
                    default="hands, fingers",
                    optional=True,
                    tooltip="Words whose cross-attention shows where hands are (SD1.5 and SDXL).",
                ),
                background_input(),
            ],
            outputs=patched_outputs(),
        )

    @classmethod
    def validate_inputs(cls, shape: str, fallbacks: str | None, decoder: str) -> bool | str:
        """Refuse names that do not exist."""
        try:
            parse_fallbacks(fallbacks or "")
        except ValueError as error:
            return str(error)
        return refuse_unknown(shape=(shape, SHAPES), decoder=(decoder, CHOICES))

    @classmethod
    def fingerprint_inputs(cls, **_: object) -> str:
        """The files that are read: once they change, the node runs again."""
        return decoder_files()

    @classmethod
    def execute(
        cls,
        model: comfy.model_patcher.ModelPatcher,
        vae: comfy.sd.VAE,
        decoder: str,
        detection_threshold: float,
        max_hands: int,
        tiles: int,
        look_every: int,
        shape: Shape,
        padding: float,
        feather: int,
        largest: float,
        remember: int,
        fallbacks: str,
        download_missing: bool,
        start_mask: torch.Tensor | None = None,
        clip: comfy.sd.CLIP | None = None,
        hand_words: str = "hands, fingers",
        keep_background: bool = False,
    ) -> io.NodeOutput:
        """Patch a clone of the model."""
        names = parse_fallbacks(fallbacks)
        start_mask = either_start(start_mask, plan_of(model).mask)
        _check_fallbacks(names, model, start_mask, clip)
        part = MaskPart(
            *decoder_for(model, vae, decoder),
            hand_detector(download_missing, detection_threshold, max_hands, tiles=tiles),
            MaskStyle(shape=shape, padding=padding, feather=feather),
            MaskGrowth(largest, remember),
            look_every,
            start_mask,
            tuple(names),
            clip,
            hand_words,
            keep_background,
            chosen=True,
        )
        plan = changed(model, mask=part)
        return io.NodeOutput(guided(model, plan), plan.trace)


def _check_fallbacks(
    names: list[str],
    model: comfy.model_patcher.ModelPatcher,
    start_mask: torch.Tensor | None,
    clip: comfy.sd.CLIP | None,
) -> None:
    if START_MASK in names and start_mask is None:
        raise ValueError("fallbacks name the start mask, but start_mask is not connected: connect it.")
    if ATTENTION in names and clip is None:
        raise ValueError("fallbacks name attention, but clip is not connected: connect the model's clip.")
    if ATTENTION in names and not cross_attention_modules(model):
        raise ValueError(WITHOUT_CROSS_ATTENTION)
