"""Types of the pack's own connections, and of other packs' that it speaks."""

from comfy_api.latest import io

HandDiscriminator = io.Custom("HAND_DISCRIMINATOR")
GuidanceTrace = io.Custom("GUIDANCE_TRACE")
# Per image a list of {x, y, width, height} in pixels, as ComfyUI's own nodes exchange them; here with score and side.
BoundingBox = io.Custom("BOUNDING_BOX")
# OpenPose JSON with hands, as DWPose nodes and ComfyUI's own pose nodes give it.
PoseKeypoint = io.Custom("POSE_KEYPOINT")
# The picture's size and masks with their places, as the Impact Pack's detectors give them.
Segs = io.Custom("SEGS")

CATEGORY = "FairHands"
