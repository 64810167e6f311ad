"""A real ComfyUI server with the pack as it is published, and its page in a real browser."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from comfy_page import ComfyPage
from playwright.sync_api import Browser, sync_playwright

from devtools.client import ComfyClient
from devtools.comfyui import ComfyUI
from devtools.environment import Environment
from devtools.paths import SCREENSHOTS
from devtools.server import ComfyServer

# No sandbox, because a container's root may not make one; nothing is fetched or sent besides what the tests open.
OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

OpenPage = Callable[..., ComfyPage]


@pytest.fixture(scope="session")
def server(
    browser_program: Path, comfyui_set_up: tuple[ComfyUI, Environment], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ComfyServer]:
    # Without a browser there is no use in a server, so the browser is asked for first.
    with ComfyServer(*comfyui_set_up, tmp_path_factory.mktemp("browser")) as running:
        yield running


@pytest.fixture(scope="session")
def client(server: ComfyServer) -> ComfyClient:
    return ComfyClient(server.address)


@pytest.fixture(scope="session")
def browser(browser_program: Path) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=browser_program, args=list(OPTIONS))
        yield running
        running.close()


@pytest.fixture(scope="module")
def module_page(browser: Browser, server: ComfyServer) -> Iterator[ComfyPage]:
    """A page that the tests of a file share, because it takes seconds to start."""
    page = ComfyPage(browser, server.address, SCREENSHOTS)
    page.open()
    yield page
    page.close()


@pytest.fixture
def comfy_page(module_page: ComfyPage, request: pytest.FixtureRequest) -> Iterator[ComfyPage]:
    """The file's page, with an empty canvas; how it looked at the end is kept in .fairhands/screenshots/."""
    module_page.clear()
    yield module_page
    module_page.shot(request.node.name)


@pytest.fixture
def open_page(browser: Browser, server: ComfyServer, request: pytest.FixtureRequest) -> Iterator[OpenPage]:
    """Opens a fresh page with settings of its own; how it looked at the end is kept, too."""
    pages: list[ComfyPage] = []

    def opened(**settings: Any) -> ComfyPage:
        pages.append(ComfyPage(browser, server.address, SCREENSHOTS, **settings))
        pages[-1].open()
        return pages[-1]

    yield opened
    for page in pages:
        page.shot(request.node.name)
        page.close()
