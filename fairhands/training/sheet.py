"""Sheets of pictures, to be looked at while a network is trained."""

from io import BytesIO
from pathlib import Path

from PIL import Image
from torch import Tensor

from ..whole_files import write_whole


def write_sheet(path: Path, pictures: Tensor, columns: int) -> None:
    """Write pictures [N, 3, H, W], 0..1, N a multiple of `columns`, as a PNG with that many in a row."""
    rows = pictures.float().clamp(0, 1).unflatten(0, (-1, columns))
    sheet = rows.permute(0, 3, 1, 4, 2).flatten(0, 1).flatten(1, 2).mul(255).round().byte()
    content = BytesIO()
    Image.fromarray(sheet.cpu().numpy()).save(content, "PNG")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content.getvalue())
