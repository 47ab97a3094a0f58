"""Runs: starting, logging, finishing and finding them."""
