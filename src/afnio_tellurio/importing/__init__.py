"""Imports runs from bundles and from the files of other trackers; a module for each."""
