"""Load MPD ControlNet: a ControlNet or T2I-Adapter that was trained for whole picture, faces and hands at once."""

import os
from pathlib import Path
from typing import Any

import comfy.controlnet
import folder_paths
from comfy_api.latest import io

from ..fairhands.adapters.description import CONTROL_NET, T2I_ADAPTER, Description, read_description, refusal
from .connections import CATEGORY
from .node_text import shown_text

FOLDER = "controlnet"
WANTED = (CONTROL_NET, T2I_ADAPTER)
SOURCE = "choose another file of models/controlnet/, or train one with `python -m trainers.mpd_controlnet`"
# What ComfyUI's reader raises over a file whose tensors are not what it took them for.
MISREAD = (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError)


class LoadMPDControlNet(io.ComfyNode):
    """File name -> CONTROL_NET."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """What the page shows of the node."""
        return io.Schema(
            node_id="FairHandsLoadMPDControlNet",
            display_name="Load MPD ControlNet",
            category=CATEGORY,
            description=(
                "Loads a ControlNet or T2I-Adapter that was trained fairly for the whole picture, faces and hands at "
                "once (Minimum Potential Delay), and shows what it is. Others load too."
            ),
            inputs=[
                io.Combo.Input(
                    "control_net_name",
                    options=folder_paths.get_filename_list(FOLDER),
                    tooltip="A file in models/controlnet/, made by `python -m trainers.mpd_controlnet`.",
                ),
            ],
            outputs=[
                io.ControlNet.Output("CONTROL_NET", display_name="control_net", tooltip="For Apply ControlNet."),
                io.String.Output("REPORT", display_name="report", tooltip="What the node shows, as text."),
            ],
        )

    @classmethod
    def validate_inputs(cls, control_net_name: str | None) -> bool | str:
        """Say what is missing, and where it belongs, before anything runs."""
        if control_net_name is None or folder_paths.get_full_path(FOLDER, control_net_name) is not None:
            return True
        return (
            f"control_net_name is {control_net_name!r}, which is not in models/controlnet/: put the file there, or "
            "train one with `python -m trainers.mpd_controlnet`, and press R to refresh."
        )

    @classmethod
    def fingerprint_inputs(cls, control_net_name: str | None) -> str:
        """The file, so that a replaced one is loaded again."""
        file = None if control_net_name is None else folder_paths.get_full_path(FOLDER, control_net_name)
        return "" if file is None else f"{file} {os.path.getmtime(file)}"

    @classmethod
    def execute(cls, control_net_name: str) -> io.NodeOutput:
        """Load the file by ComfyUI's own reader.

        Raises:
            AdapterFileError: it is no ControlNet or T2I-Adapter, or none that ComfyUI can use.
        """
        path = Path(folder_paths.get_full_path_or_raise(FOLDER, control_net_name))
        description = read_description(path, WANTED, SOURCE)
        control_net = _loaded(path, description)
        text = "\n".join([f"kind: {description.kind.partition(' ')[2]}", *description.lines()])
        return io.NodeOutput(control_net, text, ui=shown_text(text))


def _loaded(path: Path, description: Description) -> comfy.controlnet.ControlBase:
    # ComfyUI takes a file name that ends in "_shuffle" for another kind of ControlNet, which ours never is.
    options: dict[str, Any] = {"global_average_pooling": False} if description.is_ours else {}
    try:
        control_net = comfy.controlnet.load_controlnet(str(path), model_options=options)
    except MISREAD as error:
        found = f"{description.kind} that ComfyUI cannot read ({' '.join(str(error).split())[:200]})"
        raise refusal(path, found, WANTED, SOURCE) from error
    if control_net is None:
        raise refusal(path, f"{description.kind} that ComfyUI does not know", WANTED, SOURCE)
    return control_net
