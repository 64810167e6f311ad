"""Hand Detection Mask: find hands in pictures and draw the mask of them."""

from typing import Any

import torch
from comfy_api.latest import io

from ..fairhands.hands.boxes import as_entry
from ..fairhands.hands.hand import merge
from ..fairhands.hands.masks import MaskStyle, Shape, draw_masks, fit_mask
from ..fairhands.hands.openpose import hands_from_pose
from ..fairhands.hands.preview import draw_hands
from ..fairhands.hands.segs import mask_of_segs
from .connections import CATEGORY, BoundingBox, PoseKeypoint, Segs
from .detector import download_input, hand_detector, threshold_input
from .mask_inputs import feather_input, search_inputs, shape_inputs
from .search_words import search_words


class HandDetectionMask(io.ComfyNode):
    """IMAGE -> MASK of the hands, with preview, boxes and count."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """What the page shows of the node."""
        most, tiles = search_inputs()
        return io.Schema(
            node_id="FairHandsHandDetectionMask",
            display_name="Hand Detection Mask",
            category=CATEGORY,
            **search_words("find hands", "hand detector", "hand segmentation", "fingers"),
            description="Finds hands with MediaPipe and draws a mask over them. No hand gives an empty mask.",
            inputs=[
                io.Image.Input("image", tooltip="Pictures to search; a batch is searched picture by picture."),
                threshold_input("threshold", 0.5),
                most,
                io.Float.Input(
                    "min_size",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Leave out hands whose shorter side is below this share of the longer side of the picture.",
                ),
                tiles,
                *shape_inputs("shape"),
                io.Int.Input("dilation", default=0, min=0, max=512, tooltip="Grow the mask further, in pixels."),
                feather_input(),
                download_input(),
                PoseKeypoint.Input(
                    "pose_keypoint", optional=True, tooltip="Hands of a pose detector, joined with those found here."
                ),
                io.Mask.Input("mask", optional=True, tooltip="A mask to join with; any size, for one or all pictures."),
                Segs.Input("segs", optional=True, tooltip="What another pack's detector found, joined to the mask."),
            ],
            outputs=[
                io.Mask.Output("MASK", display_name="mask", tooltip="White where hands are."),
                io.Image.Output("PREVIEW", display_name="preview", tooltip="The picture with mask and boxes."),
                BoundingBox.Output("BOXES", display_name="boxes", tooltip="A list of boxes for each picture."),
                io.Int.Output("COUNT", display_name="count", tooltip="Hands in all pictures together."),
            ],
        )

    @classmethod
    def execute(
        cls,
        image: torch.Tensor,
        threshold: float,
        max_hands: int,
        min_size: float,
        tiles: int,
        shape: Shape,
        padding: float,
        dilation: int,
        feather: int,
        download_missing: bool,
        pose_keypoint: list[Any] | None = None,
        mask: torch.Tensor | None = None,
        segs: Any = None,
    ) -> io.NodeOutput:
        """Find, join, draw."""
        batch, height, width = image.shape[:3]
        style = MaskStyle(shape=shape, padding=padding, dilation=dilation, feather=feather)
        found = hand_detector(download_missing, threshold, max_hands, min_size, tiles).detect_batch(image)
        if pose_keypoint is not None:
            posed = hands_from_pose(pose_keypoint, batch, height, width)
            found = [merge(hands + more) for hands, more in zip(found, posed, strict=True)]
        masks = torch.stack([torch.from_numpy(draw_masks(hands, height, width, style)) for hands in found])
        others = [mask] if mask is not None else []
        others += [mask_of_segs(segs)] if segs is not None else []
        for other in others:
            masks = torch.maximum(masks, fit_mask(other, batch, height, width).to(masks))
        previews = [draw_hands(picture, hands, area) for picture, hands, area in zip(image, found, masks, strict=True)]
        boxes = [[{**as_entry(hand), "score": round(hand.score, 4)} for hand in hands] for hands in found]
        return io.NodeOutput(masks, torch.stack(previews), boxes, sum(len(hands) for hands in found))
