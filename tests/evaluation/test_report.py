import json
from pathlib import Path

import torch
from PIL import Image

from fairhands.evaluation.report import Figures, summary, write_report


def figures(rate: float, psnr: float | None) -> Figures:
    return Figures(10, rate, (rate - 0.1, rate + 0.1), 0.9, None, 1.5, 0.25, psnr, 0.5)


def test_a_report_holds_what_was_measured(tmp_path: Path) -> None:
    some = {"unguided": figures(0.5, None), "visual": figures(0.75, 41.0)}
    pictures = {name: torch.zeros(3, 3, 16, 16, dtype=torch.uint8) for name in some}
    write_report(tmp_path / "new", some, pictures, {"features": "none"})
    report = json.loads((tmp_path / "new" / "benchmark.json").read_text())
    assert report["features"] == "none"
    assert report["settings"]["visual"]["background_psnr"] == 41.0
    assert report["settings"]["unguided"]["right_rate_ci95"] == [0.4, 0.6]
    header, _, last = (tmp_path / "new" / "benchmark.csv").read_text().splitlines()
    assert header.startswith("setting,n,right_rate,right_rate_ci95_low,right_rate_ci95_high,")
    assert last.startswith("visual,10,0.75,0.65,0.85,0.9,,1.5,0.25,41.0,0.5")
    with Image.open(tmp_path / "new" / "pictures.png") as sheet:
        assert sheet.size == (48, 32)


def test_the_table_for_the_terminal_has_a_line_for_each_setting() -> None:
    head, first, second = summary({"unguided": figures(0.5, None), "visual": figures(0.75, 41.0)}).splitlines()
    assert head.split()[0] == "setting"
    assert first.split()[:2] == ["unguided", "50.0%"]
    assert "41.0" in second
