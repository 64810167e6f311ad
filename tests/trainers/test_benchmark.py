"""The benchmark of guidance as a terminal sees it: a small measurement in a real ComfyUI, and mistakes."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[2]
FIGURES = {
    *("n", "right_rate", "right_rate_ci95", "hand_probability", "hand_confidence"),
    *("fid", "kid", "background_psnr", "seconds_per_image"),
}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "trainers.benchmark", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)


def test_a_measurement_leaves_figures_plot_and_pictures_of_each_setting(tmp_path: Path) -> None:
    small = ("--n", "6", "--batch", "4", "--steps", "6", "--reference", "40", "--workers", "0")
    done = run(*small, "--settings", "visual", "--w", "0", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    settings = json.loads((tmp_path / "benchmark.json").read_text())["settings"]
    assert list(settings) == ["unguided", "visual"]
    for figures in settings.values():
        assert figures.keys() == FIGURES
        assert figures["n"] == 6
        low, high = figures["right_rate_ci95"]
        assert 0 <= low <= figures["right_rate"] <= high <= 1
        assert figures["seconds_per_image"] > 0
    # Without strength, guidance gives the very pictures of the plain sampler.
    assert settings["visual"]["right_rate"] == settings["unguided"]["right_rate"]
    assert settings["visual"]["fid"] == settings["unguided"]["fid"]
    assert settings["unguided"]["background_psnr"] is None
    rows = list(csv.DictReader((tmp_path / "benchmark.csv").open()))
    assert [row["setting"] for row in rows] == ["unguided", "visual"]
    assert float(rows[0]["right_rate"]) == settings["unguided"]["right_rate"]
    with Image.open(tmp_path / "pictures.png") as sheet:
        assert sheet.size == (6 * 128, 2 * 128)
    assert (tmp_path / "benchmark.png").stat().st_size > 1000


def test_an_unknown_setting_is_named_with_the_known_ones(tmp_path: Path) -> None:
    done = run("--settings", "visual,magic", "--out", str(tmp_path))
    assert done.returncode == 1
    assert "settings: expected some of unguided, visual, visual_exact, " in done.stderr
    assert "found 'magic'" in done.stderr
    assert not list(tmp_path.iterdir())


def test_textual_guidance_needs_a_lora(tmp_path: Path) -> None:
    done = run("--settings", "both", "--lora", "", "--out", str(tmp_path))
    assert done.returncode == 1
    assert (
        "lora: expected a file in models/loras for textual, both, both_exact, both_no_mask, found none" in done.stderr
    )


def test_without_a_mask_the_background_changes_more_than_with_it(tmp_path: Path) -> None:
    small = ("--n", "4", "--batch", "4", "--steps", "6", "--reference", "40", "--workers", "0")
    done = run(*small, "--settings", "visual_no_mask", "--w", "4", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    settings = json.loads((tmp_path / "benchmark.json").read_text())["settings"]
    assert list(settings) == ["unguided", "visual", "visual_no_mask"]
    assert settings["visual_no_mask"]["background_psnr"] < settings["visual"]["background_psnr"]


def test_a_judge_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = run("--judge", "no_judge.safetensors", "--out", str(tmp_path))
    assert done.returncode == 1
    assert "no_judge.safetensors" in done.stderr.splitlines()[-1]
