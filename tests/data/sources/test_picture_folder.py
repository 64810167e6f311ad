from collections.abc import Callable
from pathlib import Path

from fairhands.data.problems import Problems
from fairhands.data.sources import read


def test_pictures_of_any_ending_in_any_subfolder_are_read_with_their_captions(
    tmp_path: Path, write: Callable[..., None], problems: Problems
) -> None:
    for name in ("b.JPG", "a.jpeg", "deep/er/c.png", "deep/d.webp", "e.bmp", ".hidden.jpg", ".trash/f.jpg", "notes.md"):
        write(name)
    write("b.txt", "\ufeffa woman waves\n")
    write("deep/d.txt", "  \n")
    examples = read("folder", tmp_path, problems)
    assert [(example.place, example.text) for example in examples] == [
        ("a.jpeg", None),
        ("b.JPG", "a woman waves"),
        ("deep/d.webp", None),
        ("deep/er/c.png", None),
        ("e.bmp", None),
    ]
    assert all(example.hands is None and example.faces is None for example in examples)
    assert not problems.lines


def test_a_caption_that_is_no_text_is_named_and_its_picture_kept(
    tmp_path: Path, write: Callable[..., None], problems: Problems
) -> None:
    write("a.jpg")
    write("a.txt", b"caf\xe9")
    write("b.jpg")
    (tmp_path / "b.txt").mkdir()
    examples = read("folder", tmp_path, problems)
    assert [example.text for example in examples] == [None, None]
    assert [line.split(": ")[:2] for line in problems.lines] == [
        ["unreadable caption", "a.txt"],
        ["unreadable caption", "b.txt"],
    ]
