"""Shows runs in notebooks."""
