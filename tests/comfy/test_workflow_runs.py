"""Each shared graph runs, and what it is for happens: small, on stand-ins for the files that an artist brings."""

import json

import numpy as np
import pytest
import torch
from shared_graphs import (
    FOLDERS,
    MANNEQUIN,
    Prompt,
    add,
    change,
    inputs,
    load,
    pictures,
    use_mannequin_model,
    use_stand_ins,
    write_control_net,
    write_lora,
)

from devtools import graph
from devtools.client import ComfyClient, Run
from devtools.paths import ROOT
from devtools.server import ComfyServer
from fairhands.evaluation.fingers import VERDICTS, read

VISUAL, LORA = "FairHandsHandVisualGuidance", "FairHandsHandLoraGuidance"
HAND_LORA, MPD_LORA, CONTROL_NET = "hand_lora.safetensors", "mpd_lora.safetensors", "mpd_controlnet.safetensors"


def of(client: ComfyClient, run: Run, prompt: Prompt, *titles: str) -> list[np.ndarray]:
    """The pictures of each of these nodes, none of them flat."""
    shown = [pictures(client, run, prompt, title) for title in titles]
    assert all(picture.std() > 1 for some in shown for picture in some)
    return shown


def check_both_guidances(client: ComfyClient, prompt: Prompt) -> None:
    """Both move the picture, and without them it is the one to compare with, bit for bit."""
    told = add(prompt, "told", "PreviewAny", source=[graph.by_title(prompt, "FairHandsGuidanceTracePlot"), 1])[0]
    run = client.run(prompt)
    guided, plain, plot = of(client, run, prompt, "Guided picture", "Unguided picture", "What guidance did")
    assert guided.shape == plain.shape
    assert (guided != plain).any()
    assert plot.shape == (1, 600, 900, 3)
    mask = pictures(client, run, prompt, "Hands seen on the way")[0]
    assert mask[64, 64].min() == 255
    assert mask[4, 4].max() == 0
    images = [step["images"][0] for step in json.loads(run.outputs[told]["text"][0])["steps"]]
    assert any(image["step_rms"] for image in images)
    assert any(image["difference_rms"] for image in images)
    change(prompt, VISUAL, w=0.0)
    change(prompt, LORA, v=0.0)
    (off,) = of(client, client.run(prompt), prompt, "Guided picture")
    assert (off == plain).all()


def test_text_to_image_is_guided_by_discriminator_and_lora(client: ComfyClient, server: ComfyServer) -> None:
    prompt = load(client, "text_to_image_sd15")
    use_stand_ins(prompt)
    write_lora(server.base, HAND_LORA, "SD 1.5")
    check_both_guidances(client, prompt)


def test_sdxl_is_guided_on_top_of_an_mpd_lora(client: ComfyClient, server: ComfyServer) -> None:
    prompt = load(client, "text_to_image_sdxl_mpd_lora")
    use_stand_ins(prompt)
    write_lora(server.base, HAND_LORA, "SDXL")
    write_lora(server.base, MPD_LORA, "SDXL")
    prompt[graph.by_title(prompt, "Checkpoint")] |= {"class_type": "ProbeModel", "inputs": {"family": "sdxl"}}
    _take_parts_of_probe(prompt)
    check_both_guidances(client, prompt)
    (plain,) = of(client, client.run(prompt), prompt, "Unguided picture")
    change(prompt, "FairHandsLoadMPDLoRA", strength_model=0.0)
    (without,) = of(client, client.run(prompt), prompt, "Unguided picture")
    assert (plain != without).any()


def _take_parts_of_probe(prompt: Prompt) -> None:
    """ProbeModel gives model, VAE and two prompts, where a checkpoint gives model, CLIP and VAE."""
    probe = graph.by_title(prompt, "Checkpoint")
    prompt[probe]["inputs"]["seed"] = 0
    encoders = [graph.by_title(prompt, f"What {words}") for words in ("the picture should show", "it should not show")]
    swapped = {(probe, 2): [probe, 1], (encoders[0], 0): [probe, 2], (encoders[1], 0): [probe, 3]}
    del prompt[encoders[0]], prompt[encoders[1]]
    for node in prompt.values():
        links = {name: tuple(link) for name, link in node["inputs"].items() if isinstance(link, list)}
        node["inputs"] |= {name: swapped[link] for name, link in links.items() if link in swapped}
    del prompt[graph.by_title(prompt, "FairHandsLoadMPDLoRA")]["inputs"]["clip"]


def test_hands_of_a_picture_are_drawn_anew_by_an_sd15_checkpoint(client: ComfyClient, hand_picture: str) -> None:
    prompt = load(client, "mend_hands_of_a_picture")
    use_stand_ins(prompt)
    inputs(prompt, "Picture")["image"] = hand_picture
    inputs(prompt, "Size to draw at").update(width=128, height=128)
    titles = ("Mask over the picture", "Guided picture", "Unguided picture", "What guidance did")
    _, guided, plain, _ = of(client, client.run(prompt), prompt, *titles)
    assert guided.shape == plain.shape == (1, 256, 256, 3)
    assert (guided != plain).any()


def test_the_best_of_a_batch_is_saved(client: ComfyClient) -> None:
    prompt = load(client, "keep_the_best_of_n")
    use_mannequin_model(prompt)
    change(prompt, "EmptySD3LatentImage", batch_size=4)
    change(prompt, "KSampler", steps=12)
    every = add(prompt, "every", "SaveImage", images=[graph.by_title(prompt, "VAEDecode"), 0], filename_prefix="every")
    run = client.run(prompt)
    best, shown, drawn = of(client, run, prompt, "The best one", "All with their scores", every[0])
    report = json.loads(run.outputs[graph.by_title(prompt, "Every score")]["text"][0])
    scores = [image["score"] for image in report["images"]]
    assert len(scores) == len(shown) == len(drawn) == 4
    assert len(set(scores)) == 4
    assert (best[0] == drawn[int(np.argmax(scores))]).all()


def test_the_ablation_draws_one_picture_in_four_ways(client: ComfyClient, server: ComfyServer) -> None:
    prompt = load(client, "ablation")
    use_stand_ins(prompt)
    write_lora(server.base, HAND_LORA, "SD 1.5")
    ways = ("No guidance", "Visual guidance", "Textual guidance", "Both")
    run = client.run(prompt)
    drawn = of(client, run, prompt, *ways)
    assert all((one != other).any() for at, one in enumerate(drawn) for other in drawn[:at])
    plots = of(client, run, prompt, "Trace: visual guidance", "Trace: textual guidance", "Trace: both")
    assert all((one != other).any() for at, one in enumerate(plots) for other in plots[:at])
    change(prompt, VISUAL, w=0.0)
    change(prompt, LORA, v=0.0)
    assert all((picture == drawn[0]).all() for picture in of(client, client.run(prompt), prompt, *ways))


def test_the_custom_sampler_is_guided(client: ComfyClient) -> None:
    prompt = load(client, "custom_sampler")
    use_stand_ins(prompt)
    guided, mask, _ = of(
        client, client.run(prompt), prompt, "Guided picture", "Hands seen on the way", "What guidance did"
    )
    assert mask[0, 64, 64].min() == 255
    change(prompt, VISUAL, w=0.0)
    (plain,) = of(client, client.run(prompt), prompt, "Guided picture")
    assert (guided != plain).any()


def test_the_controlnet_brings_the_pose_into_the_picture(
    client: ComfyClient, server: ComfyServer, hand_picture: str, empty_picture: str
) -> None:
    prompt = load(client, "mpd_controlnet_pose")
    use_stand_ins(prompt, steps=3)
    write_control_net(server.base, CONTROL_NET)
    inputs(prompt, "Size to draw at").update(width=128, height=192)
    drawn = {}
    for name, changes in {"posed": {}, "other": {"image": empty_picture}, "off": {"strength": 0.0}}.items():
        inputs(prompt, "Pose picture")["image"] = changes.get("image", hand_picture)
        change(prompt, "ControlNetApplyAdvanced", strength=changes.get("strength", 1.0))
        run = client.run(prompt)
        drawn[name], plain = of(client, run, prompt, "Picture in the pose", "Picture without the pose")
        assert drawn[name].shape == plain.shape == (1, 192, 128, 3)
        assert (drawn[name] == plain).all() == (name == "off")
    assert (drawn["posed"] != drawn["other"]).any()


@pytest.fixture(scope="module")
def demonstrated(client: ComfyClient) -> tuple[Prompt, Run]:
    """The demonstration as it is, but for two hands instead of eight."""
    prompt = load(client, "mannequin_demo")
    inputs(prompt, "Eight hands")["batch_size"] = 2
    return prompt, client.run(prompt)


def test_the_demonstration_needs_nothing_but_what_is_shipped(client: ComfyClient, server: ComfyServer) -> None:
    prompt = load(client, "mannequin_demo")
    shipped = {file.name: file.parent.name for file in (ROOT / "weights").glob("*/*.safetensors")}
    named = {
        value: folder
        for node in prompt.values()
        for name, folder in FOLDERS.items()
        if isinstance(value := node["inputs"].get(name), str)
    }
    assert named == shipped
    assert MANNEQUIN in named
    for node in prompt.values():
        assert node["inputs"].get("download_missing", True)
        assert node["class_type"] != "LoadImage"
    assert (server.base / "custom_nodes" / "fairhands" / "weights" / "checkpoints" / MANNEQUIN).is_file()


def test_the_demonstration_mends_malformed_hands(client: ComfyClient, demonstrated: tuple[Prompt, Run]) -> None:
    prompt, run = demonstrated
    judge = read(ROOT / "weights" / "finger_judge.safetensors")
    verdicts = []
    for hands in of(client, run, prompt, "Unguided hands", "Guided hands"):
        assert hands.shape == (2, 256, 256, 3)
        small = torch.from_numpy(hands).permute(0, 3, 1, 2).float()
        verdicts.append(judge.verdicts(torch.nn.functional.avg_pool2d(small, 2) / 255))
    right = VERDICTS.index("right")
    assert all(verdict != right for verdict in verdicts[0])
    assert all(verdict == right for verdict in verdicts[1])


def test_the_demonstration_keeps_the_background(client: ComfyClient, demonstrated: tuple[Prompt, Run]) -> None:
    prompt, run = demonstrated
    plain, guided, mask = of(client, run, prompt, "Unguided hands", "Guided hands", "Where guidance acted")
    inside = np.repeat(np.repeat(mask, 2, axis=1), 2, axis=2).max(axis=-1) > 0
    change_there = np.abs(guided.astype(float) - plain).mean(axis=-1)
    assert change_there[inside].mean() > 10 * change_there[~inside].mean()
