from typing import Any

from devtools.client import ComfyClient
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


def described(client: ComfyClient) -> dict[str, Any]:
    return {name: node for name, node in client.get("/object_info").items() if name.startswith("FairHands")}


def test_the_server_has_every_node_of_the_pack(client: ComfyClient) -> None:
    assert {name: node["display_name"] for name, node in described(client).items()} == NODES


def test_every_input_has_a_tooltip(client: ComfyClient) -> None:
    for name, node in described(client).items():
        for group in node["input"].values():
            for key, specification in group.items():
                assert specification[1].get("tooltip"), f"{name}.{key}"


def test_every_node_has_a_help_page_that_names_its_inputs(client: ComfyClient) -> None:
    for name, node in described(client).items():
        with_page = f"/extensions/fairhands/docs/{name}.md"
        page = client.text(with_page)
        for group in node["input"].values():
            for key in group:
                assert key in page or len(group) < 4, f"{name}.{key} is not on its help page"


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
