"""Bundles: everything of one run in one file."""
