from devtools.client import ComfyClient
from devtools.locales import ours
from devtools.server import ComfyServer

NODES = {
    "FairHandsHandDetectionMask": "Hand Detection Mask",
    "FairHandsLoadHandDiscriminator": "Load Hand Discriminator",
    "FairHandsHandScore": "Hand Score",
    "FairHandsHandVisualGuidance": "Hand Visual Guidance",
    "FairHandsHandLoraGuidance": "Hand LoRA Guidance",
    "FairHandsHandMaskWhileSampling": "Hand Mask While Sampling",
    "FairHandsHandGuidedKSampler": "Hand-Guided KSampler",
    "FairHandsHandGuidedKSamplerAdvanced": "Hand-Guided KSampler (Advanced)",
    "FairHandsHandGuidedSamplerCustom": "Hand-Guided Sampler (Custom)",
    "FairHandsGuidanceTracePlot": "Guidance Trace Plot",
    "FairHandsLoadMPDLoRA": "Load MPD LoRA",
    "FairHandsLoadMPDControlNet": "Load MPD ControlNet",
    "FairHandsMannequinPrompt": "Mannequin Prompt",
}
# Two or three lines of a tooltip.
LONGEST = 210
SHARED = {
    *("decoder", "detection_threshold", "download_missing", "every", "feather", "keep_background", "max_hands"),
    *("padding", "schedule", "shape", "start_mask", "tiles", "window_in"),
}


def test_the_server_has_every_node_of_the_pack(client: ComfyClient) -> None:
    assert {name: node["display_name"] for name, node in ours(client).items()} == NODES


def test_every_node_input_and_output_is_explained_in_a_few_sentences(client: ComfyClient) -> None:
    for name, node in ours(client).items():
        inputs = {key: each[1].get("tooltip") for group in node["input"].values() for key, each in group.items()}
        outputs = dict(zip(node["output_name"], node["output_tooltips"], strict=True))
        for key, text in {"": node["description"], **inputs, **outputs}.items():
            assert text, f"{name}.{key}"
            assert text.endswith("."), f"{name}.{key}: {text}"
            assert len(text) <= LONGEST, f"{name}.{key}: {text}"


def test_settings_that_several_nodes_share_are_explained_alike(client: ComfyClient) -> None:
    explained: dict[str, set[str]] = {}
    for node in ours(client).values():
        for group in node["input"].values():
            for key, each in group.items():
                explained.setdefault(key, set()).add(each[1]["tooltip"])
    assert all(len(texts) == 1 for key, texts in explained.items() if key in SHARED)


def test_the_pack_loads_without_a_complaint(server: ComfyServer, client: ComfyClient) -> None:
    client.get("/system_stats")
    imports = [line for line in server.log().splitlines() if "custom_nodes" in line and "seconds" in line]
    (ours,) = [line for line in imports if line.rstrip().endswith("fairhands")]
    assert "IMPORT FAILED" not in ours


def test_the_shared_graphs_appear_in_the_template_browser(client: ComfyClient) -> None:
    templates = client.get("/workflow_templates")
    assert "mend_hands_of_a_picture" in templates["fairhands"]


def test_only_what_is_published_is_installed(server: ComfyServer) -> None:
    installed = {path.name for path in (server.base / "custom_nodes" / "fairhands").iterdir()}
    assert {"__init__.py", "nodes", "fairhands", "trainers", "workflows", "web", "requirements.txt"} <= installed
    assert not installed & {"tests", "devtools", "dev.py", "benchmarks", ".git", ".fairhands"}
