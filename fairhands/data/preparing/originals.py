"""The pictures of all datasets that a preparation begins with."""

from collections.abc import Sequence

from ..problems import Problems
from ..sources import read
from .records import Picture, key_of
from .tables import Source


def read_originals(sources: Sequence[Source], problems: Problems) -> list[Picture]:
    """All pictures, in the order of the sources and then of their files.

    A picture's key depends on its source's place and kind and its path in there, so that a dataset can be moved, and
    one more can be added behind the others, without making anything anew.

    Raises:
        ValueError: a source is no such dataset; its text says which and what is expected.
    """
    pictures = []
    for number, source in enumerate(sources):
        for example in read(source.kind, source.folder, problems):
            # An annotation may lie beside the pictures' folder, and name them by "../".
            path = example.picture
            inside = path.is_relative_to(source.folder)
            name = path.relative_to(source.folder).as_posix() if inside else path.as_posix()
            pair = key_of(number, source.kind, name)
            pictures.append(Picture(example, pair, "real", f"{pair}_real", name))
    return pictures
