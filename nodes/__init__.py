"""What an artist sees: the nodes. The only place that imports ComfyUI."""

from comfy_api.latest import ComfyExtension, io

from .guidance_trace_plot import GuidanceTracePlot
from .hand_detection_mask import HandDetectionMask
from .hand_guided_ksampler import HandGuidedKSampler
from .hand_guided_ksampler_advanced import HandGuidedKSamplerAdvanced
from .hand_guided_sampler_custom import HandGuidedSamplerCustom
from .hand_lora_guidance import HandLoraGuidance
from .hand_mask_while_sampling import HandMaskWhileSampling
from .hand_score import HandScore
from .hand_visual_guidance import HandVisualGuidance
from .load_hand_discriminator import LoadHandDiscriminator
from .load_mpd_controlnet import LoadMPDControlNet
from .load_mpd_lora import LoadMPDLora
from .mannequin_prompt import MannequinPrompt
from .model_folders import register_model_folders


class FairHandsExtension(ComfyExtension):
    """The pack, as ComfyUI's V3 interface knows it."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """The nodes of the pack."""
        return [
            HandDetectionMask,
            LoadHandDiscriminator,
            HandVisualGuidance,
            HandLoraGuidance,
            HandMaskWhileSampling,
            HandGuidedKSampler,
            HandGuidedKSamplerAdvanced,
            HandGuidedSamplerCustom,
            GuidanceTracePlot,
            HandScore,
            LoadMPDLora,
            LoadMPDControlNet,
            MannequinPrompt,
        ]


__all__ = ["FairHandsExtension", "register_model_folders"]
