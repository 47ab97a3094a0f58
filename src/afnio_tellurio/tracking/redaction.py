from typing import Any


def redact_config(config: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    return config, []
