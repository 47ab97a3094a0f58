"""The way from `log` to a backend: journal, sender, recovery."""
