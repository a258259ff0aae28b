"""What this Lethe is called, for `--version`, `!version`, the metrics and the package."""

VERSION = "0.2.0"
