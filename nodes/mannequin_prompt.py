"""Mannequin Prompt: what the shipped mannequin model is asked for, without a text encoder."""

from comfy_api.latest import io

from ..fairhands.mannequin_world.prompts import NOTHING, PROMPTS, encode
from .connections import CATEGORY

_NOTHING_SHOWN = "(nothing)"


class MannequinPrompt(io.ComfyNode):
    """A prompt of the mannequin model -> CONDITIONING."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """What the page shows of the node."""
        return io.Schema(
            node_id="FairHandsMannequinPrompt",
            display_name="Mannequin Prompt",
            category=f"{CATEGORY}/mannequin",
            description=(
                "A prompt for the small mannequin model that comes with FairHands, which knows these few and needs no "
                "text encoder. Other models want CLIP Text Encode."
            ),
            inputs=[
                io.Combo.Input(
                    "prompt",
                    options=[*PROMPTS, _NOTHING_SHOWN],
                    tooltip="'hand' is right or malformed by chance; '(nothing)' is the empty negative prompt.",
                ),
            ],
            outputs=[
                io.Conditioning.Output(
                    "CONDITIONING",
                    display_name="conditioning",
                    tooltip="For the positive or negative input of a sampler.",
                )
            ],
        )

    @classmethod
    def validate_inputs(cls, prompt: str) -> bool | str:
        """Refuse a prompt that the model does not know."""
        known = [*PROMPTS, _NOTHING_SHOWN]
        return prompt in known or f"prompt is {prompt!r}; the mannequin model knows {', '.join(known)}."

    @classmethod
    def execute(cls, prompt: str) -> io.NodeOutput:
        """The prompt's vector as the only token, and as the pooled text."""
        vector = encode(NOTHING if prompt == _NOTHING_SHOWN else prompt)
        return io.NodeOutput([[vector[None, None], {"pooled_output": vector[None]}]])
