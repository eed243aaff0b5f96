"""The `scanhop` command. A process is imported only when its subcommand runs."""
