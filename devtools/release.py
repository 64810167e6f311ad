"""Whether a release is what it says: `python3 -m devtools.release TAG OWNER/NAME`; the standard library alone."""

import re
import sys

from .paths import ROOT


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit("devtools.release: expected a tag and the repository, as in v1.2.3 owner/name")
    wrong = faults(*sys.argv[1:])
    if wrong:
        sys.exit("\n".join(wrong))


def faults(tag: str, repository: str) -> list[str]:
    """What keeps a tag from being published, a sentence each.

    Args:
        tag: the release's tag, "v1.2.3".
        repository: where it is published from, "owner/name".
    """
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    version, address = _value(project, "version"), _value(project, "Repository")
    found = []
    if tag != f"v{version}":
        found.append(f"The tag is {tag}, but pyproject.toml's version is {version}: change the one or the other.")
    if f"\n## {version}\n" not in changelog:
        found.append(f"CHANGELOG.md has no part headed {version}: write what is new in it.")
    if address != f"https://github.com/{repository}":
        found.append(f"pyproject.toml's Repository is {address}, but this is {repository}: change the addresses there.")
    return found


def _value(project: str, key: str) -> str:
    # Python 3.10 cannot read TOML by itself.
    found = re.search(rf'^{key} = "([^"]*)"$', project, re.MULTILINE)
    if found is None:
        raise ValueError(f'pyproject.toml: expected a line `{key} = "..."`, found none')
    return found[1]


if __name__ == "__main__":
    main()
