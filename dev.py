#!/usr/bin/env python3
"""FairHands in one command each: set-up, demo, tests. `python3 dev.py --help` lists them."""

import sys

# Before any import, because older Pythons cannot read the modules behind.
if not (3, 10) <= sys.version_info[:2] <= (3, 13):
    sys.exit(
        "dev.py: this is Python %d.%d, and FairHands needs 3.10 to 3.13: "
        "run dev.py with one of those, for example `python3.12 dev.py demo`." % sys.version_info[:2]
    )

from devtools.commands import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
