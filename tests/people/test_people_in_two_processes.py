"""Two processes encode a prepared folder together."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from devtools.paths import ROOT
from fairhands.base_models import load
from tests.base_models.checkpoints import write_folder
from tests.people.conftest import Folder, NewPeople

LAUNCH = "accelerate.commands.launch --multi_gpu --num_machines 1 --num_processes 2 --main_process_port 0"
TWO_PROCESSES = """
import sys
from pathlib import Path

from fairhands.people import people
from fairhands.people.settings import DataSettings
from fairhands.training.processes import state
from tests.adapters.bases import tiny

people.PICTURES_IN_PIECE, people.CAPTIONS_IN_PIECE = 4, 3
base, encoded = tiny("SD 1.5", Path(sys.argv[3])), []
encode = base.encode
base.encode = lambda pictures: encoded.extend(pictures) or encode(pictures)
settings = DataSettings(prepared=(Path(sys.argv[1]),), resolution=64, bucket_step=16)
found = people.People(settings, base, ["face", "hand"], Path(sys.argv[2]), "base")
Path(sys.argv[2], f"told{state().process_index}").write_text(f"{len(encoded)} {len(found.training)}")
"""


@pytest.mark.usefixtures("small_pieces")
def test_two_processes_share_the_encoding(folder: Folder, new_people: NewPeople, tmp_path: Path) -> None:
    write_folder(tmp_path / "base", xl=False)
    (tmp_path / "two.py").write_text(TWO_PROCESSES)
    command = [sys.executable, "-m", *LAUNCH.split(), str(tmp_path / "two.py"), str(folder.path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, str(tmp_path / "two"), str(tmp_path / "base")], check=True, env=environment, timeout=240)
    told = [(tmp_path / "two" / f"told{process}").read_text() for process in range(2)]
    assert sorted(told) == ["4 12", "8 12"]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the processes, for the same bytes
    try:
        new_people(load(tmp_path / "base"))
    finally:
        torch.set_num_threads(threads)
    for path in (tmp_path / "cache").rglob("*.npy"):
        assert (tmp_path / "two" / path.relative_to(tmp_path / "cache")).read_bytes() == path.read_bytes()
