"""The files of artifacts: collects, captures and saves them; knows no network."""
