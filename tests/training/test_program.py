"""What goes wrong ends a program with one line that names file and reason."""

import pytest

from fairhands.training.program import sentence_of, stop


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (FileNotFoundError(2, "No such file or directory", "a.toml"), "a.toml: no such file or directory"),
        (OSError(28, "No space left on device"), "no space left on device"),
        (OSError("the cache is damaged"), "the cache is damaged"),
        (ValueError("two\n  lines"), "two lines"),
    ],
)
def test_an_error_is_one_line_without_a_number(error: Exception, sentence: str) -> None:
    assert sentence_of(error) == sentence


def test_a_program_ends_with_its_status_and_says_which_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        stop("python -m trainers.example", 2, FileNotFoundError(2, "No such file or directory", "a.toml"))
    assert ended.value.code == 2
    assert capsys.readouterr().err == "python -m trainers.example: a.toml: no such file or directory\n"
