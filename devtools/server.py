"""A real ComfyUI server with the pack installed, in a process of its own."""

import json
import os
import socket
import subprocess
import threading
from collections import deque
from pathlib import Path
from typing import IO

from . import pack
from .comfyui import ComfyUI
from .environment import Environment
from .memory import KEEP_MEMORY
from .paths import MODELS, venv_python
from .steps import StepFailed

READY = "To see the GUI go to:"
START_SECONDS = 180
STOP_SECONDS = 20


class ComfyServer:
    """Starts ComfyUI on a free port of this machine with `base` as its folder; a context manager that stops it.

    The models of the set-up are found through an extra_model_paths file; `base` holds input, output, user and
    custom_nodes. `address` is `http://127.0.0.1:PORT` once `start` has returned. What the server prints goes to
    `base/server.log`. `options` are further ones of ComfyUI's command line.
    """

    def __init__(
        self,
        comfyui: ComfyUI,
        environment: Environment,
        base: Path,
        models: Path = MODELS,
        options: tuple[str, ...] = (),
    ):
        self.comfyui = comfyui
        self.environment = environment
        self.base = base.resolve()
        self.models = models.resolve()
        self.options = options
        self.port = _free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[str] | None = None
        self._ready = threading.Event()
        self._last_lines: deque[str] = deque(maxlen=15)

    def __enter__(self) -> "ComfyServer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server and wait until it answers. Raises StepFailed with the end of its log where it does not."""
        for folder in ("custom_nodes", "input", "output", "temp", "user/default", "models"):
            (self.base / folder).mkdir(parents=True, exist_ok=True)
        pack.install(self.base / "custom_nodes")
        self._write_settings()
        self._process = subprocess.Popen(
            self._command(),
            cwd=self.comfyui.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            errors="replace",
            env={**KEEP_MEMORY, **os.environ, "PYTHONUNBUFFERED": "1", "HF_HUB_OFFLINE": "1"},
        )
        assert self._process.stdout is not None
        threading.Thread(target=self._follow, args=(self._process.stdout,), daemon=True).start()
        self._ready.wait(START_SECONDS)
        if not self.running or not self._serving:
            self.stop()
            end = " | ".join(self._last_lines)
            raise StepFailed(f"ComfyUI did not start within {START_SECONDS} s; the end of its log: {end}")

    def stop(self) -> None:
        """End the server's process."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def wait(self) -> int:
        """Wait until the server's process ends by itself; its exit code."""
        assert self._process is not None
        return self._process.wait()

    @property
    def running(self) -> bool:
        """Whether the server's process is alive."""
        return self._process is not None and self._process.poll() is None

    def log(self) -> str:
        """All that the server has printed so far."""
        return (self.base / "server.log").read_text(encoding="utf-8")

    @property
    def _serving(self) -> bool:
        return any(READY in line for line in self._last_lines) or READY in self.log()

    def _follow(self, output: IO[str]) -> None:
        with (self.base / "server.log").open("w", encoding="utf-8") as log:
            for line in output:
                log.write(line)
                log.flush()
                self._last_lines.append(line.strip())
                if READY in line:
                    self._ready.set()
        self._ready.set()

    def _write_settings(self) -> None:
        settings = self.base / "user" / "default" / "comfy.settings.json"
        if not settings.exists():
            settings.write_text(json.dumps({"Comfy.TutorialCompleted": True}), encoding="utf-8")
        kinds = ("checkpoints", "vae", "loras", "mediapipe", "hand_discriminators")
        lines = [f"  {kind}: {kind}" for kind in kinds]
        paths = ["fairhands:", f"  base_path: {json.dumps(str(self.models))}", *lines]
        (self.base / "extra_model_paths.yaml").write_text("\n".join(paths) + "\n", encoding="utf-8")

    def _command(self) -> list[str]:
        options = [
            *("--base-directory", str(self.base)),
            *("--extra-model-paths-config", str(self.base / "extra_model_paths.yaml")),
            *("--database-url", f"sqlite:///{(self.base / 'user' / 'comfyui.db').as_posix()}"),
            *("--listen", "127.0.0.1", "--port", str(self.port)),
            "--disable-api-nodes",
            *([] if self.environment.cuda else ["--cpu"]),
            *self.options,
        ]
        return [str(venv_python()), str(self.comfyui.folder / "main.py"), *options]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
