"""Start ComfyUI where torchvision is a CUDA build and torch a CPU one: `start_comfyui.py MAIN.PY [OPTIONS]`.

Such a torchvision fails at import because two operators of its C++ library are missing. Nothing in ComfyUI's graphs
here calls them, so declaring their signatures is enough. Used in the test environment alone.
"""

import os
import runpy
import sys

import torch

OPERATORS = ("nms", "qnms")


def declare_missing_operators() -> "torch.library.Library | None":
    """Declare torchvision's operators where its import fails without them; the result must be kept alive."""
    try:
        import torchvision  # noqa: F401
    except RuntimeError as error:
        if "torchvision::nms does not exist" not in str(error):
            raise
        library = torch.library.Library("torchvision", "DEF")
        for operator in OPERATORS:
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        return library
    return None


if __name__ == "__main__":
    kept_alive = declare_missing_operators()
    main = sys.argv[1]
    sys.argv = sys.argv[1:]
    # The script's own folder would shadow ComfyUI's modules.
    sys.path[0] = os.path.dirname(os.path.abspath(main))
    runpy.run_path(main, run_name="__main__")
