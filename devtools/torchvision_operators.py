"""Lets a torchvision built for CUDA be imported beside a torch for processors, in the development environment only.

`environment.py` copies this file into the environment's packages, with a line that imports it at every start, where
torchvision cannot be imported without it. It declares two operators just before torchvision looks for them.
"""

import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec

_kept_alive: list[object] = []  # operators last as long as the library that declared them


class _BeforeTorchvision(MetaPathFinder):
    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Declare the operators when torchvision is first asked for; finding it is left to others."""
        if fullname == "torchvision":
            sys.meta_path.remove(self)
            _declare()
        return None


def _declare() -> None:
    import torch

    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _kept_alive.append(library)


sys.meta_path.insert(0, _BeforeTorchvision())
