"""The pack's icon and banner, drawn anew: `python3 dev.py run devtools.brand`."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fairhands.data.mannequin import RIGHT, STUDIO_KINDS, draw

from .paths import ROOT
from .sheet import INK, save

FOLDER = ROOT / "docs" / "pictures"
ICON = 400
BANNER = (1260, 540)  # 21:9, as the registry wants it
TITLE, LINE = "FairHands", "better hands in ComfyUI"
SEEDS = (3, 11, 14, 22, 31, 47)


def main() -> None:
    for name, picture in (("icon.png", icon()), ("banner.png", banner())):
        save(picture, FOLDER / name)
        print(FOLDER / name)


def icon() -> Image.Image:
    """A right hand."""
    return _hand(SEEDS[0], RIGHT, ICON)


def banner() -> Image.Image:
    """Malformed hands, and below each the same hand as it should be."""
    side = BANNER[0] // len(SEEDS)
    canvas = Image.new("RGB", BANNER, "white")
    malformed = STUDIO_KINDS[1:]
    for number, seed in enumerate(SEEDS):
        for row, kind in enumerate((malformed[number % len(malformed)], RIGHT)):
            canvas.paste(_hand(seed, kind, side), (number * side, BANNER[1] - (2 - row) * side))
    pen, middle = ImageDraw.Draw(canvas), (BANNER[1] - 2 * side) // 2
    pen.text((30, middle), TITLE, fill=INK, font=ImageFont.load_default(72), anchor="lm")
    pen.text((BANNER[0] - 30, middle), LINE, fill=INK, font=ImageFont.load_default(40), anchor="rm")
    return canvas


def _hand(seed: int, kind: str, side: int) -> Image.Image:
    return Image.fromarray(np.asarray(draw(seed, side, kind=kind, studio=True).picture))


if __name__ == "__main__":
    main()
