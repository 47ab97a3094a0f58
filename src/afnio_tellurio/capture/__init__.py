"""Reads facts about where a process runs from files, each within bounds."""
