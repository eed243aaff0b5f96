"""`python -m scanhop`: the same as the `scanhop` command, for processes that start others."""

from scanhop.cli.main import main

main()
