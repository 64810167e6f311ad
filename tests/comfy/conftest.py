"""A real ComfyUI server with the pack and the probe nodes, shared by all tests of this folder."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from comfy_graphs import GraphBuilder
from PIL import Image

from devtools.client import ComfyClient
from devtools.comfyui import ComfyUI
from devtools.environment import Environment
from devtools.paths import CRITIC
from devtools.server import ComfyServer
from fairhands.data import mannequin

# A hand that is found in noisy estimates of the stand-in model too.
HAND_SEED = 13
PROBES = Path(__file__).parent / "probe_nodes"


@pytest.fixture(scope="session")
def server(
    comfyui_set_up: tuple[ComfyUI, Environment], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ComfyServer]:
    base = tmp_path_factory.mktemp("comfy")
    shutil.copytree(PROBES, base / "custom_nodes" / "probe_nodes")
    with ComfyServer(*comfyui_set_up, base) as running:
        yield running


@pytest.fixture(scope="session")
def client(server: ComfyServer) -> ComfyClient:
    return ComfyClient(server.address)


@pytest.fixture
def graph(client: ComfyClient, server: ComfyServer) -> GraphBuilder:
    return GraphBuilder(client, server.base)


@pytest.fixture(scope="session")
def discriminators(server: ComfyServer) -> Path:
    """The server's own folder for discriminators, where a test can put a file."""
    return server.base / "models" / "hand_discriminators"


@pytest.fixture(scope="session")
def hand_picture(server: ComfyServer) -> str:
    """A picture with one hand, in the server's input folder; 256 px."""
    Image.fromarray(mannequin.draw(HAND_SEED, 256, kind="right").picture).save(server.base / "input" / "hand.png")
    return "hand.png"


@pytest.fixture(scope="session")
def empty_picture(server: ComfyServer) -> str:
    """A picture without any hand; 256 px."""
    Image.new("RGB", (256, 256), (90, 110, 130)).save(server.base / "input" / "empty.png")
    return "empty.png"


@pytest.fixture(scope="session")
def critic_name() -> str:
    return CRITIC.name
