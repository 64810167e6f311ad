"""Guidance Trace Plot: what guidance did, as a picture and as JSON."""

import torch
from comfy_api.latest import io

from ..fairhands.guidance.plot import plot_trace
from ..fairhands.guidance.trace import Trace
from .connections import CATEGORY, GuidanceTrace


class GuidanceTracePlot(io.ComfyNode):
    """GUIDANCE_TRACE -> IMAGE, JSON and MASK."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """What the page shows of the node."""
        return io.Schema(
            node_id="FairHandsGuidanceTracePlot",
            display_name="Guidance Trace Plot",
            category=CATEGORY,
            description="Shows what guidance did: the mask's area and the discriminator's loss at each guided step.",
            inputs=[
                GuidanceTrace.Input("trace", tooltip="From a Hand-Guided KSampler or a guidance node."),
                io.Int.Input("width", default=900, min=300, max=4096, tooltip="Width of the plot in pixels."),
                io.Int.Input("height", default=600, min=200, max=4096, tooltip="Height of the plot in pixels."),
                io.AnyType.Input(
                    "after",
                    optional=True,
                    tooltip="The sampler's latent, where the trace comes from a guidance node: so that the plot is "
                    "drawn after sampling.",
                ),
            ],
            outputs=[
                io.Image.Output("PLOT", display_name="plot", tooltip="The plot as a picture."),
                io.String.Output("JSON", display_name="json", tooltip="Every number of the trace."),
                io.Mask.Output("MASK", display_name="mask", tooltip="All hands seen while sampling."),
            ],
        )

    @classmethod
    def execute(cls, trace: Trace, width: int, height: int, after: object = None) -> io.NodeOutput:
        """Draw."""
        plot = torch.from_numpy(plot_trace(trace, width, height)).float() / 255
        mask = torch.zeros(1, 64, 64) if trace.mask is None else trace.mask.clone()
        return io.NodeOutput(plot[None], trace.to_json(), mask)
