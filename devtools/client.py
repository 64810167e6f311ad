"""Talk to a running ComfyUI as its page does: HTTP for graphs and files, a websocket for what happens."""

import json
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import websocket

Json = dict[str, Any]


class GraphRefused(Exception):
    """The server did not accept the graph; `node_errors` holds its messages by node id."""

    def __init__(self, answer: Json):
        self.answer = answer
        self.node_errors: Json = answer.get("node_errors") or {}
        details = [e["details"] or e["message"] for node in self.node_errors.values() for e in node["errors"]]
        super().__init__("; ".join(details) or str(answer.get("error", answer)))


class GraphFailed(Exception):
    """A node raised while the graph ran; the message is the node's own."""

    def __init__(self, event: Json):
        self.node_type: str = event.get("node_type", "")
        self.exception_type: str = event.get("exception_type", "")
        super().__init__(f"{self.node_type}: {str(event.get('exception_message', 'interrupted')).strip()}")


class GraphInterrupted(Exception):
    """The run was stopped by an interrupt."""


@dataclass
class Run:
    """What a finished run left: each output node's `ui` value, and the seconds that each node took."""

    prompt_id: str
    outputs: dict[str, Json]
    seconds: dict[str, float] = field(default_factory=dict)


class ComfyClient:
    """A client of one server, `address` being `http://HOST:PORT`."""

    def __init__(self, address: str, timeout: float = 600):
        self.address = address
        self.timeout = timeout
        self.id = uuid.uuid4().hex

    def get(self, path: str) -> Any:
        """The JSON answer to a GET request."""
        with urllib.request.urlopen(self.address + path, timeout=self.timeout) as response:
            return json.load(response)

    def text(self, path: str) -> str:
        """The text that a GET request gives."""
        with urllib.request.urlopen(self.address + path, timeout=self.timeout) as response:
            return response.read().decode()

    def post(self, path: str, body: Json) -> Json:
        """The JSON answer to a POST request with a JSON body."""
        return self._send(path, json.dumps(body).encode(), "application/json")

    def upload_image(self, file: Path) -> str:
        """Put a picture into the server's input folder; returns the name that LoadImage knows it by."""
        boundary = uuid.uuid4().hex
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="{file.name}"\r\n\r\n'
        rest = f'\r\n--{boundary}\r\nContent-Disposition: form-data; name="overwrite"\r\n\r\ntrue\r\n--{boundary}--\r\n'
        body = head.encode() + file.read_bytes() + rest.encode()
        return self._send("/upload/image", body, f"multipart/form-data; boundary={boundary}")["name"]

    def file(self, entry: Json) -> bytes:
        """A file that an output node names, e.g. an entry of SaveImage's `images`."""
        query = urllib.parse.urlencode({key: entry[key] for key in ("filename", "subfolder", "type")})
        with urllib.request.urlopen(f"{self.address}/view?{query}", timeout=self.timeout) as response:
            return response.read()

    def interrupt(self) -> None:
        """Ask the server to stop the run at hand."""
        request = urllib.request.Request(self.address + "/interrupt", data=b"{}", method="POST")
        urllib.request.urlopen(request, timeout=self.timeout).close()

    def run(self, prompt: Json, interrupt_at_step: int | None = None) -> Run:
        """Run a graph in API format and wait for its end.

        `interrupt_at_step`: ask for an interrupt once a node reports that step of its progress.
        Raises GraphRefused, GraphFailed or GraphInterrupted.
        """
        socket = websocket.create_connection(
            f"{self.address.replace('http', 'ws', 1)}/ws?clientId={self.id}", timeout=self.timeout
        )
        try:
            prompt_id = self.post("/prompt", {"prompt": prompt, "client_id": self.id})["prompt_id"]
            seconds = self._follow(socket, prompt_id, interrupt_at_step)
        finally:
            socket.close()
        outputs = self.get(f"/history/{prompt_id}").get(prompt_id, {}).get("outputs", {})
        return Run(prompt_id, outputs, seconds)

    def _follow(self, socket: websocket.WebSocket, prompt_id: str, interrupt_at_step: int | None) -> dict[str, float]:
        seconds: dict[str, float] = {}
        node, since = None, time.monotonic()
        while True:
            message = socket.recv()
            if not isinstance(message, str):
                continue
            event = json.loads(message)
            data = event.get("data", {})
            if data.get("prompt_id", prompt_id) != prompt_id:
                continue
            if event["type"] == "execution_error":
                raise GraphFailed(data)
            if event["type"] == "execution_interrupted":
                raise GraphInterrupted(prompt_id)
            if event["type"] == "progress" and data["value"] == interrupt_at_step:
                self.interrupt()
            if event["type"] == "executing":
                now = time.monotonic()
                if node is not None:
                    seconds[node] = seconds.get(node, 0.0) + now - since
                node, since = data["node"], now
                if node is None:
                    return seconds

    def _send(self, path: str, body: bytes, content_type: str) -> Json:
        request = urllib.request.Request(self.address + path, data=body, headers={"Content-Type": content_type})
        try:
            with urllib.request.urlopen(request, timeout=self.timeout) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace")
            try:
                answer = json.loads(text)
            except json.JSONDecodeError:
                answer = {"error": text or str(error)}
            raise GraphRefused(answer) from error
