"""Hand Score: how right the hands of pictures are, and which picture of a batch has the best."""

from typing import Any

import comfy.model_management
import comfy.model_patcher
import comfy.sd
import torch
from comfy_api.latest import io

from ..fairhands.hands.pictures import as_rgb_batch
from ..fairhands.hands.ranking import IMAGE_SCORES, NO_HAND, ImageScore, NoHand
from .connections import CATEGORY, BoundingBox, HandDiscriminator
from .critic_text import critic_of, encoded, text_for
from .detector import download_input, hand_detector, threshold_input
from .guidance_inputs import refuse_unknown
from .hand_scoring import Find, Judgement, among_given, by_detector, judge
from .mask_inputs import search_inputs
from .node_text import shown_text
from .search_words import search_words


class HandScore(io.ComfyNode):
    """IMAGE and HAND_DISCRIMINATOR -> scores of the hands, and the picture with the best ones."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """What the page shows of the node."""
        return io.Schema(
            node_id="FairHandsHandScore",
            display_name="Hand Score",
            category=CATEGORY,
            **search_words("count fingers", "hand quality", "best of batch", "bad hands"),
            description=(
                "Asks the discriminator how right each hand is, and picks the picture of a batch with the best hands."
            ),
            inputs=[
                io.Image.Input("image", tooltip="Pictures to compare; one gets its scores."),
                HandDiscriminator.Input("discriminator", tooltip="From Load Hand Discriminator."),
                io.Combo.Input(
                    "image_score",
                    options=IMAGE_SCORES,
                    default="worst",
                    tooltip="A picture's score is that of its worst hand, the mean of its hands, or its best hand's.",
                ),
                io.Combo.Input(
                    "no_hand",
                    options=NO_HAND,
                    default="last",
                    tooltip="Pictures without any hand rank last, behind those with bad hands, or first, where no "
                    "hand is wanted.",
                ),
                threshold_input("threshold", 0.5),
                *search_inputs(),
                download_input(),
                BoundingBox.Input(
                    "boxes",
                    optional=True,
                    tooltip="Where the hands are, instead of looking for them: a list for each picture, or one for "
                    "all. From Hand Detection Mask or another pack's detector.",
                ),
                io.Clip.Input(
                    "clip",
                    optional=True,
                    tooltip="For a discriminator that was trained with texts: it encodes hand_text.",
                ),
                io.String.Input(
                    "hand_text",
                    default="",
                    optional=True,
                    tooltip="What the hands should be, for such a discriminator. Empty: it judges without a text.",
                ),
            ],
            outputs=[
                io.Image.Output("BEST", display_name="best", tooltip="The picture with the best hands."),
                io.Int.Output("INDEX", display_name="index", tooltip="Its place in the batch; the first is 0."),
                io.Float.Output("SCORE", display_name="score", tooltip="Its score, 0 to 1."),
                io.Image.Output("ANNOTATED", display_name="annotated", tooltip="All pictures with their scores."),
                BoundingBox.Output("BOXES", display_name="boxes", tooltip="A list for each picture, with scores."),
                io.String.Output("REPORT", display_name="report", tooltip="Every score, as JSON."),
            ],
        )

    @classmethod
    def validate_inputs(cls, image_score: str, no_hand: str) -> bool | str:
        """Refuse choices that do not exist."""
        return refuse_unknown(image_score=(image_score, IMAGE_SCORES), no_hand=(no_hand, NO_HAND))

    @classmethod
    def execute(
        cls,
        image: torch.Tensor,
        discriminator: comfy.model_patcher.ModelPatcher,
        image_score: ImageScore,
        no_hand: NoHand,
        boxes: Any = None,
        clip: comfy.sd.CLIP | None = None,
        hand_text: str = "",
        **search: Any,
    ) -> io.NodeOutput:
        """Find, judge, rank, draw."""
        if len(image) == 0:
            raise ValueError("image holds no picture, expected one or more.")
        find, left_out = _finder(image, boxes, **search)
        critic = critic_of(discriminator)
        given = encoded(clip, hand_text) if critic.config.text_dimension else None
        text, judged_by = text_for(critic, given, [])
        comfy.model_management.load_models_gpu([discriminator])
        hands = judge(critic, as_rgb_batch(image), find, text, len(image))
        judgement = Judgement(hands, image_score, no_hand, judged_by, left_out)
        best = judgement.best
        return io.NodeOutput(
            image[best : best + 1].clone(),
            best,
            judgement.best_score,
            judgement.drawn(as_rgb_batch(image)),
            hands,
            judgement.report(),
            ui=shown_text(judgement.sentence()),
        )


def _finder(
    image: torch.Tensor, boxes: Any, threshold: float, max_hands: int, tiles: int, download_missing: bool
) -> tuple[Find, int]:
    """How the hands of a picture are found, and how many given boxes were left out."""
    if boxes is None:
        return by_detector(hand_detector(download_missing, threshold, max_hands, tiles=tiles)), 0
    return among_given(boxes, *image.shape[:3])
