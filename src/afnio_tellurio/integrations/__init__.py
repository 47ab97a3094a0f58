"""Integrations with frameworks. Each stands alone and imports its framework when it is used."""
