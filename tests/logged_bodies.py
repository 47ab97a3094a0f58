"""The metrics in the body of a request that logs them, in each of its forms."""

from __future__ import annotations

import json
from typing import Any


def metrics_of(body: bytes) -> list[dict[str, Any]]:
    fields: dict[str, Any] = json.loads(body)
    if "names" not in fields:
        return fields.get("metrics", [fields])
    columns = {
        name: column
        for name, column in fields.items()
        if isinstance(column, list) and name != "names"
    }
    rows = zip(*columns.values(), strict=True)
    metrics = [dict(zip(columns, row, strict=True)) for row in rows]
    return [{**metric, "name": fields["names"][metric["name"]]} for metric in metrics]
