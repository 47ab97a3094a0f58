"""The filter language of runs."""
