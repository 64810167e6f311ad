"""ComfyUI's page in a real browser, used as an artist uses it: what is seen, clicked and typed."""

import contextlib
import json
import re
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Route, TimeoutError

Json = dict[str, Any]

SIZE = {"width": 1600, "height": 1000}
# Seconds for what the page does by itself; graphs that sample get their own.
PAGE_SECONDS = 20
RUN_SECONDS = 120
# Where the page asks for news of packs, which its server forbids here.
REGISTRY = "api.comfy.org"
EVENTS = (
    "progress",
    "b_preview",
    "execution_start",
    "executed",
    "execution_success",
    "execution_error",
    "execution_interrupted",
)
# A double click that the busy page missed is done again, as anyone would.
CLICKS, CLICK_SECONDS = 4, 4
# On a busy machine the two clicks of a double click can lie far apart.
UNHURRIED = {"Comfy.Pointer.DoubleClickTime": 1000}
# Keeps what the server tells the page, in order, so that a test can wait for it.
RECORD = """names => {
    window.told = [];
    for (const name of names)
        app.api.addEventListener(name, event => {
            const detail = event.detail instanceof Blob ? {bytes: event.detail.size} : event.detail;
            window.told.push({name, detail});
        });
}"""
SHAPES = """() => app.graph.nodes.map(node => ({
    title: node.title, type: node.type, pos: [...node.pos], size: [...node.size], needs: [...node.computeSize()],
    inputs: [...(node.inputs ?? []), ...(node.widgets ?? [])].map(({name}) => name),
    labels: [...(node.inputs ?? []), ...(node.widgets ?? [])].map(({label, name}) => label ?? name),
}))"""
ADD = "type => app.graph.add(LiteGraph.createNode(type)).id"
CHOOSE_ALONE = """type => {
    app.graph.clear();
    const node = LiteGraph.createNode(type);
    node.pos = [500, 300];
    app.graph.add(node);
    app.canvas.ds.reset();
    app.canvas.selectNode(node);
}"""
MARKED = "() => Object.keys(app.lastNodeErrors ?? {}).map(number => app.graph.getNodeById(number).title)"
# Whether nothing of the page lies over a node's title.
ON_CANVAS = """([x, y]) => {
    const [left, top] = app.canvas.ds.convertOffsetToCanvas([x, y - 15]);
    const {x: canvasX, y: canvasY} = app.canvas.canvas.getBoundingClientRect();
    return document.elementFromPoint(canvasX + left, canvasY + top)?.tagName === 'CANVAS';
}"""
SET_WIDGET = """([title, name, value]) => {
    const node = app.graph.nodes.find(node => node.title === title);
    node.widgets.find(widget => widget.name === name).value = value;
}"""
PICTURES = """([title, count]) => {
    const loaded = app.graph.nodes.find(node => node.title === title).imgs?.filter(img => img.naturalWidth > 0);
    return loaded?.length === count;
}"""


class ComfyPage:
    """One page of the server at `address`, with settings of its own by ComfyUI's names; the server keeps its own.

    `language`: whose names of the packs' nodes are shown. They take the place of the English ones, because the page of
    ComfyUI 0.3.75, once it has read its own texts of another language, has forgotten those of the packs.
    `errors` holds what the page has complained about so far, each with the address of the script at fault.
    """

    def __init__(self, browser: Browser, address: str, screenshots: Path, language: str = "en", **settings: Any):
        self.address = address
        self.screenshots = screenshots
        self.language = language
        self.settings = UNHURRIED | settings
        self.errors: list[str] = []
        self.page: Page = browser.new_page(viewport={"width": SIZE["width"], "height": SIZE["height"]})
        self.page.set_default_timeout(PAGE_SECONDS * 1000)
        self.page.on("console", self._hear)
        self.page.route("**/api/settings", self._answer_settings)
        self.page.route("**/api/i18n", self._answer_translations)
        self.page.on("pageerror", lambda error: self.errors.append(f"{error} {error.stack or ''}"))

    def open(self) -> None:
        """Open the page anew and wait until its nodes are there."""
        self.page.goto(self.address)
        self.page.wait_for_function("() => window.app?.graph && window.app.vueAppReady")
        self.page.locator(".p-blockui-mask").wait_for(state="detached")
        self.page.evaluate(RECORD, EVENTS)

    def open_template(self, pack: str, name: str) -> None:
        """Choose one of a pack's graphs in the template browser and wait until it is shown."""
        nodes = self.page.evaluate_handle("() => app.graph.nodes[0]")
        self.show_templates(pack)
        self.page.get_by_test_id(f"template-workflow-{name}").click()
        self.page.wait_for_function("node => app.graph.nodes.length && app.graph.nodes[0] !== node", arg=nodes)
        self.page.locator(".workflow-template-selector-dialog").wait_for(state="hidden")

    def show_templates(self, pack: str) -> list[str]:
        """Open the template browser at a pack's graphs; their names."""
        self.page.get_by_role("button", name="Templates").click()
        dialog = self.page.locator(".workflow-template-selector-dialog")
        dialog.get_by_role("button", name=pack, exact=True).click()
        dialog.get_by_role("heading", name=pack).or_(dialog.get_by_text(pack, exact=True)).first.wait_for()
        cards = dialog.locator("[data-testid^=template-workflow-]")
        cards.first.wait_for()
        return [card.get_attribute("data-testid").removeprefix("template-workflow-") for card in cards.all()]

    def clear(self) -> None:
        """Close what is open over the canvas, empty it, and forget errors and messages."""
        self.page.keyboard.press("Escape")
        self.page.locator(".p-dialog-mask").wait_for(state="detached")
        self.page.evaluate("() => { app.graph.clear(); app.canvas.ds.reset(); window.told = []; }")
        # What was drawn last is what a click meets.
        self.page.evaluate("() => app.canvas.draw(true, true)")
        self.errors.clear()

    def load(self, graph: Json) -> None:
        """Show a saved graph."""
        self.page.evaluate("graph => app.loadGraphData(graph)", graph)

    def load_prompt(self, prompt: Json) -> None:
        """Show a graph in API format; the page makes its nodes and places them."""
        self.page.evaluate("prompt => app.loadApiJson(prompt, 'test')", prompt)

    def saved(self) -> Json:
        """The graph as the page would save it."""
        return self.page.evaluate("() => JSON.parse(JSON.stringify(app.graph.serialize()))")

    def shapes(self) -> list[Json]:
        """Title, type, place, size, smallest size, inputs and their labels of each node shown."""
        return self.page.evaluate(SHAPES)

    def scale(self) -> float:
        """How large the graph is drawn."""
        return self.page.evaluate("() => app.canvas.ds.scale")

    def on_canvas(self, shape: Json) -> bool:
        """Whether both ends of a node's title are seen, with nothing of the page over them."""
        (x, y), width = shape["pos"], shape["size"][0]
        return all(self.page.evaluate(ON_CANVAS, [end, y]) for end in (x + 5, x + width - 5))

    def fit(self) -> None:
        """Press the button that shows the whole graph; the page loads the pictures of nodes that are seen."""
        self.page.get_by_label("Fit View").click()

    def run(self) -> None:
        """Press Run."""
        self.page.evaluate("() => { window.told = []; }")
        self.page.get_by_test_id("queue-button").click()

    def interrupt(self) -> None:
        """Press the button that stops the run at hand."""
        self.page.get_by_label("Cancel current run").click()

    def wait_for(self, event: str, seconds: float = RUN_SECONDS) -> Json:
        """The first message of that name since Run was pressed, waited for; an error message ends the wait, too."""
        found = self.page.wait_for_function(
            "name => window.told.find(({name: other}) => other === name || other === 'execution_error')",
            arg=event,
            timeout=seconds * 1000,
        ).json_value()
        if found["name"] != event:
            raise AssertionError(f"waited for {event}, and the run failed: {found['detail']['exception_message']}")
        return found["detail"]

    def told(self, event: str) -> list[Json]:
        """What the server told of that name since Run was pressed."""
        return self.page.evaluate(
            "name => window.told.filter(({name: other}) => other === name).map(({detail}) => detail)", event
        )

    def search_nodes(self, words: str, expected: str) -> list[str]:
        """Type words into the node search, as after a double click on the empty canvas, until a node is offered.

        Returns the names of all nodes that are offered then.
        """
        box = self.page.locator(".comfy-vue-node-search-box input")
        for _ in range(CLICKS):
            self.page.locator("#graph-canvas").dblclick(position={"x": 500, "y": 800})
            with contextlib.suppress(TimeoutError):
                box.wait_for(timeout=CLICK_SECONDS * 1000)
                break
        box.fill(words)
        offers = self.page.locator(".option-display-name")
        offers.filter(has_text=expected).first.wait_for()
        return [offer.splitlines()[0].strip() for offer in offers.all_inner_texts()]

    def add(self, node_type: str) -> int:
        """Put a node on the canvas; its number."""
        return self.page.evaluate(ADD, node_type)

    def html_node(self, number: int) -> Locator:
        """A node as Nodes 2.0 draws it."""
        return self.page.locator(f'.lg-node[data-node-id="{number}"]')

    def open_help(self, node_type: str) -> Locator:
        """Put a node on the empty canvas, choose it and press its help button; the help page, once it is read."""
        self.page.evaluate(CHOOSE_ALONE, node_type)
        self.page.get_by_test_id("info-button").click()
        help_page = self.page.locator(".node-help-content .markdown-content")
        help_page.wait_for()
        return help_page

    def message(self) -> str:
        """The text of the dialog with an error, once there is one."""
        dialog = self.page.locator(".comfy-error-report")
        dialog.wait_for()
        return dialog.inner_text()

    def set_widget(self, title: str, name: str, value: Any) -> None:
        """Give a node's widget a value."""
        self.page.evaluate(SET_WIDGET, [title, name, value])

    def pictures(self, title: str, count: int) -> int:
        """How many loaded pictures a node shows, once they are `count`."""
        self.page.wait_for_function(PICTURES, arg=[title, count])
        return count

    def marked(self) -> list[str]:
        """Titles of the nodes that the page marks for an error."""
        return self.page.evaluate(
            "() => Object.keys(app.lastNodeErrors ?? {}).map(number => app.graph.getNodeById(number).title)"
        )

    def our_errors(self) -> list[str]:
        """What the page complained about that has to do with the pack."""
        return [error for error in self.errors if "fairhands" in error.lower() and REGISTRY not in error]

    def close(self) -> None:
        """Close the page."""
        self.page.close()

    def shot(self, name: str) -> Path:
        """Keep a picture of the page as it is now."""
        self.screenshots.mkdir(parents=True, exist_ok=True)
        words = re.findall(r"[\w.-]+", name)
        file = self.screenshots / f"{'_'.join(words)}.png"
        self.page.screenshot(path=file)
        return file

    def _answer_settings(self, route: Route) -> None:
        if route.request.method != "GET":
            route.continue_()
            return
        theirs = route.fetch()
        route.fulfill(response=theirs, body=json.dumps(theirs.json() | self.settings))

    def _answer_translations(self, route: Route) -> None:
        theirs = route.fetch()
        route.fulfill(response=theirs, body=json.dumps({"en": theirs.json().get(self.language, {})}))

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(f"{message.text} ({message.location.get('url', '')})")
