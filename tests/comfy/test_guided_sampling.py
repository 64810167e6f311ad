"""Previews as the page gets them, over the websocket of a server that sends them."""

import json
import shutil
import uuid
from collections.abc import Iterator
from io import BytesIO

import numpy as np
import pytest
import websocket
from comfy_graphs import GraphBuilder
from PIL import Image
from sampler_graphs import advanced, custom, plain_advanced, sigmas

from devtools.client import ComfyClient
from devtools.server import ComfyServer
from fairhands.hands.preview import MASK_COLOUR

# ComfyUI enlarges a preview to this many pixels.
SIDE = 512
# Type of a binary message with a picture, and the bytes before the picture itself.
PREVIEW_IMAGE, HEADER = 1, 8
STEPS = 3
# A mask that holds without any detection, seen at each step, and no change of the picture.
LOOKING = {"w": 0.0, "first_timestep": 1000.0, "last_timestep": 0.0, "detection_threshold": 1.0}


@pytest.fixture(scope="module")
def previewing(server: ComfyServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyServer]:
    """A server of its own: the shared one sends no previews."""
    base = tmp_path_factory.mktemp("previews")
    shutil.copytree(server.base / "custom_nodes" / "probe_nodes", base / "custom_nodes" / "probe_nodes")
    with ComfyServer(server.comfyui, server.environment, base, options=("--preview-method", "latent2rgb")) as running:
        yield running


def previews(graph: GraphBuilder) -> list[np.ndarray]:
    """The pictures that arrive while a graph runs, int `[H, W, 3]`."""
    client, page = graph.client, uuid.uuid4().hex
    address = f"{client.address.replace('http', 'ws', 1)}/ws?clientId={page}"
    pictures: list[np.ndarray] = []
    socket = websocket.create_connection(address, timeout=client.timeout)
    try:
        client.post("/prompt", {"prompt": graph.prompt, "client_id": page})
        while True:
            message = socket.recv()
            if isinstance(message, bytes):
                if int.from_bytes(message[:4], "big") == PREVIEW_IMAGE:
                    pictures.append(np.array(Image.open(BytesIO(message[HEADER:])), dtype=int))
                continue
            event = json.loads(message)
            assert event["type"] != "execution_error", event["data"]["exception_message"]
            if event["type"] == "executing" and event["data"]["node"] is None:
                return pictures
    finally:
        socket.close()


def sampling(server: ComfyServer, kind: str, critic: str) -> GraphBuilder:
    """A graph that samples in a node of a kind, with a start mask above the picture's middle."""
    graph = GraphBuilder(ComfyClient(server.address), server.base)
    parts = graph.checkpoint()
    latent = [graph.add("EmptyLatentImage", width=256, height=256, batch_size=1), 0]
    looking = LOOKING | {"start_mask": graph.mask(256, 64, 64, 128, 192)}
    if kind == "KSampler":
        node = graph.sample_guided(parts, latent, critic, **looking, steps=STEPS, denoise=1.0)
    elif kind == "KSampler (Advanced)":
        node = advanced(graph, parts, latent, critic, **looking, steps=STEPS)
    elif kind == "Sampler (Custom)":
        model = [graph.guide_visually(parts, critic, **looking), 0]
        node = custom(graph, parts, model, latent, sigmas=sigmas(graph, parts, STEPS))
    else:
        node, _ = plain_advanced(graph, parts, latent, steps=STEPS)
    graph.save([node, 0])
    return graph


@pytest.mark.parametrize("kind", ["KSampler", "KSampler (Advanced)", "Sampler (Custom)"])
def test_each_step_sends_comfyuis_preview_with_the_outline_of_the_mask(
    previewing: ComfyServer, critic_name: str, kind: str
) -> None:
    pictures, plain = (previews(sampling(previewing, some, critic_name)) for some in (kind, "plain"))
    assert len(pictures) == len(plain) == STEPS
    for picture, without in zip(pictures, plain, strict=True):
        assert picture.shape == (SIDE, SIDE, 3)
        # Strength is 0, so that the pictures differ by the outline alone: by its colour, as far as enlarging and JPEG
        # leave it, on the mask's sides (twice the picture's pixels, half a latent cell inward), and nowhere else.
        coloured = np.abs(picture - np.array(MASK_COLOUR)).max(axis=2) < 60
        for side in (coloured[136, 136:376], coloured[248, 136:376], coloured[136:248, 136], coloured[136:248, 376]):
            assert side.mean() > 0.9
        changed = np.abs(picture - without).max(axis=2) > 30
        assert changed[136, 136:376].mean() > 0.5
        assert not changed[160:224, 160:352].any()
        assert not changed[288:].any()
        assert not changed[:, :96].any()
