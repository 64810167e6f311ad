"""Crops packed for a trainer: one folder with a manifest, a line of metadata for each crop, and the pictures.

The same crops and settings give the same bytes.
"""

import hashlib
import io
import json
import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from .records import Crop
from .settings import PackSettings

KIND = "hand pairs"
FORMAT = 1
MANIFEST = "manifest.json"
METADATA = "metadata.jsonl"
HASHED_AT_ONCE = 1 << 20


def paired(crops: Sequence[Crop]) -> list[Crop]:
    """The crops whose pair has real hands and fakes among them."""
    kinds: dict[str, set[str]] = {}
    for crop in crops:
        kinds.setdefault(crop.pair, set()).add(crop.kind)
    return [crop for crop in crops if len(kinds[crop.pair]) == 2]


def pack(
    crops: Sequence[Crop],
    texts: Mapping[str, str],
    work: Path,
    folder: Path,
    settings: PackSettings,
    told: dict[str, Any],
) -> None:
    """Write all crops, their metadata and the manifest into a folder.

    Args:
        crops: what to pack, in its order; keys differ.
        texts: captions by pair; a pair without one gets an empty text.
        work: what the crops' files are named from.
        folder: an empty one; what it holds already is hashed into the manifest too.
        settings: the layout.
        told: what else the manifest says, plain values.
    """
    rows = []
    groups = [crops[start : start + settings.crops_in_shard] for start in range(0, len(crops), settings.crops_in_shard)]
    with tqdm(total=len(crops), desc="packing", unit="crop") as progress:
        for number, group in enumerate(groups):
            write = _write_shard if settings.layout == "shards" else _write_folder
            rows += write(number, group, texts, work, folder)
            progress.update(len(group))
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    (folder / METADATA).write_text("".join(lines), encoding="utf-8", newline="\n")
    manifest = {"kind": KIND, "format": FORMAT, **told, "counts": counts(crops), "sha256": hashes(folder)}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def counts(crops: Sequence[Crop]) -> dict[str, int]:
    """How many crops there are of each kind and sort, and of how many pairs."""
    sorts = Counter(f"{crop.kind} {'estimate' if crop.level else 'picture'}" for crop in crops)
    return {"crops": len(crops), "pairs": len({crop.pair for crop in crops}), **dict(sorted(sorts.items()))}


def hashes(folder: Path) -> dict[str, str]:
    """The sha256 of each file of a folder but for its manifest, by its path there."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    named = {path.relative_to(folder).as_posix(): path for path in files}
    return {name: sha256_of(path) for name, path in sorted(named.items()) if name != MANIFEST}


def sha256_of(path: Path) -> str:
    """The hash of a file's content, in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(HASHED_AT_ONCE):
            digest.update(part)
    return digest.hexdigest()


def _row(crop: Crop, file_name: str, text: str) -> dict[str, Any]:
    """A crop's line of metadata."""
    return {
        "file_name": file_name,
        "text": text,
        "kind": crop.kind,
        "pair": crop.pair,
        "level": crop.level,
        "hand": crop.hand,
        "score": crop.score,
        "source": crop.source,
    }


def _write_folder(
    number: int, crops: Sequence[Crop], texts: Mapping[str, str], work: Path, folder: Path
) -> Iterator[dict[str, Any]]:
    name = f"images/{number:06}"
    (folder / name).mkdir(parents=True)
    for crop in crops:
        file_name = f"{name}/{crop.key}{Path(crop.file).suffix}"
        (folder / file_name).write_bytes((work / crop.file).read_bytes())
        yield _row(crop, file_name, texts.get(crop.pair, ""))


def _write_shard(
    number: int, crops: Sequence[Crop], texts: Mapping[str, str], work: Path, folder: Path
) -> Iterator[dict[str, Any]]:
    name = f"shards/{number:06}.tar"
    (folder / "shards").mkdir(exist_ok=True)
    with tarfile.open(folder / name, "w", format=tarfile.USTAR_FORMAT) as shard:
        for crop in crops:
            picture = f"{crop.key}{Path(crop.file).suffix}"
            row = _row(crop, f"{name}/{picture}", texts.get(crop.pair, ""))
            _add(shard, picture, (work / crop.file).read_bytes())
            _add(shard, f"{crop.key}.json", json.dumps(row, ensure_ascii=False).encode())
            _add(shard, f"{crop.key}.txt", row["text"].encode())
            yield row


def _add(shard: tarfile.TarFile, name: str, content: bytes) -> None:
    """Add a file that says nothing of when and by whom it was made."""
    entry = tarfile.TarInfo(name)  # time, owner and group are 0 and nameless unless they are set
    entry.size = len(content)
    shard.addfile(entry, io.BytesIO(content))
