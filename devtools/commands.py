"""The commands of `dev.py`. Standard library only: they run before anything is installed."""

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path

from benchmarks import GROUPS

from . import browser, comfyui, environment, models
from .memory import KEEP_MEMORY
from .paths import BASE, ROOT, venv_python
from .server import ComfyServer
from .steps import StepFailed

DESCRIPTION = "FairHands in one command each: set-up, demo, tests. Needs Python 3.10 to 3.13 and git, and nothing else."

EPILOG = """environment variables:
  COMFYUI_PATH       a ComfyUI of your own to use (otherwise one is fetched into .fairhands/)
  FAIRHANDS_BROWSER  the Chromium or Chrome that the tests of the page use (otherwise the first one on PATH)

Everything that is set up lies in .fairhands/ in this folder; delete it to start over. Only Chromium is
installed into the system, where `test` runs as root with apt-get and finds no browser.
Add --help to a command to see its options."""


def main(arguments: list[str]) -> int:
    """Run one command; the exit code is 0 where all went well."""
    options = _parser().parse_args(arguments)
    # Asked to end, it ends as at Ctrl-C: what it started is stopped, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return options.command(options)
    except StepFailed as failure:
        print(f"dev.py: {failure}", file=sys.stderr)
        return 1
    except OSError as failure:
        print(
            f"dev.py: {failure.strerror or failure}: {failure.filename or ''} - see that it can be written.",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        print("dev.py: stopped; run the same command again to go on.", file=sys.stderr)
        return 130


def demo(options: argparse.Namespace) -> int:
    """Set everything up, then mend the hands of a photo in a real ComfyUI."""
    _check_photo(options.photo)
    _set_up_all()
    photo = [] if options.photo is None else ["--photo", str(options.photo.resolve())]
    return _python("-m", "devtools.demo", "--out", str(options.out.resolve()), *photo)


def test(options: argparse.Namespace) -> int:
    """Set everything up, then run all tests (or those that the pytest arguments choose)."""
    try:
        _set_up_all()
    except comfyui.NoComfyUI as failure:
        print(f"dev.py: {failure} The tests that need ComfyUI cannot pass.", file=sys.stderr)
    browser.prepare()
    return _python("-m", "pytest", *options.arguments)


def comfy(_: argparse.Namespace) -> int:
    """Start ComfyUI's page with this pack installed, and print its address."""
    prepared, comfy_ui = _set_up_all()
    with ComfyServer(comfy_ui, prepared, BASE) as server:
        print(
            f"ComfyUI with FairHands: {server.address} (Ctrl-C stops it; log: {server.base / 'server.log'})", flush=True
        )
        return server.wait()


def run(options: argparse.Namespace) -> int:
    """Run a module, such as a trainer, in the prepared environment."""
    environment.prepare(comfyui.own_checkout())
    return _python("-m", options.module, *options.arguments)


def fetch_models(_: argparse.Namespace) -> int:
    """Fetch or make the files that hand and face detection need."""
    environment.prepare(comfyui.own_checkout())
    models.detector_files()
    return 0


def bench(options: argparse.Namespace) -> int:
    """Measure what the project promises about speed, and print the figures."""
    _set_up_all()
    out = [] if options.out is None else ["--out", str(options.out.resolve())]
    return _python("-m", "benchmarks", "--only", *options.only, *out)


def _set_up_all() -> tuple[environment.Environment, comfyui.ComfyUI]:
    prepared = environment.prepare(comfyui.own_checkout())
    models.detector_files()
    models.mannequin_critic()
    comfy_ui = comfyui.obtain()
    models.standin_checkpoint(comfy_ui)
    return prepared, comfy_ui


def _check_photo(photo: Path | None) -> None:
    if photo is not None and not photo.is_file():
        raise StepFailed(f"--photo is {photo}, and there is no such file: give the path of a picture.")


def _python(*arguments: str) -> int:
    """Run the prepared interpreter in the checkout; a Ctrl-C reaches it too, so its own end is awaited."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    process = subprocess.Popen(
        [str(venv_python()), *arguments], cwd=ROOT, env={**KEEP_MEMORY, **os.environ, "PYTHONPATH": path}
    )
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.wait()
        raise


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dev.py", description=DESCRIPTION, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, command, **keywords) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=command.__doc__, description=command.__doc__, **keywords)
        added.set_defaults(command=command)
        return added

    demo_parser = add("demo", demo)
    demo_parser.add_argument("--photo", type=Path, metavar="FILE", help="a picture with hands (default: a drawn one)")
    demo_parser.add_argument(
        "--out", type=Path, default=Path("demo-output"), metavar="DIR", help="default: %(default)s"
    )
    test_parser = add("test", test)
    test_parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="arguments for pytest")
    add("comfy", comfy)
    run_parser = add("run", run)
    run_parser.add_argument("module", metavar="MODULE", help="for example trainers.discriminator")
    run_parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="arguments for the module")
    add("models", fetch_models)
    bench_parser = add("bench", bench)
    bench_parser.add_argument(
        "--only", nargs="+", choices=GROUPS, default=GROUPS, help="measure these alone (default: all)"
    )
    bench_parser.add_argument("--out", type=Path, metavar="FILE.json", help="write the figures as one flat JSON object")
    return parser
