"""``python -m compat`` is the command ``plugin-compat``."""

from compat.cli import main

main()
