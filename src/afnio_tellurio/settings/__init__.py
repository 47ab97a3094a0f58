"""Settings: limits, URLs, the settings file, and the settings in force."""
