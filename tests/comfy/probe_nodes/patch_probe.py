"""A node that patches a model as other packs do, in ways that gradients cannot pass."""

from typing import Any

import torch
from comfy_api.latest import io


class ProbePatch(io.ComfyNode):
    """MODEL -> MODEL; `kind` says what is done to each prediction: "detach", or "scale" by a tensor of this node's."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ProbePatch",
            inputs=[io.Model.Input("model"), io.String.Input("kind")],
            outputs=[io.Model.Output("MODEL")],
        )

    @classmethod
    def execute(cls, model: Any, kind: str) -> io.NodeOutput:  # pyright: ignore[reportIncompatibleMethodOverride]
        scale = torch.full((1, 1, 1, 1), 1.01)  # an inference tensor, as all that a node makes

        def predict(apply_model: Any, arguments: dict[str, Any]) -> torch.Tensor:
            denoised = apply_model(arguments["input"], arguments["timestep"], **arguments["c"])
            return denoised.detach() if kind == "detach" else denoised * scale

        patched = model.clone()
        patched.set_model_unet_function_wrapper(predict)
        return io.NodeOutput(patched)


NODES: list[type[io.ComfyNode]] = [ProbePatch]
