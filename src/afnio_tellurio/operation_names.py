"""Names the operations of the API in messages for people, who did not call them."""

from __future__ import annotations

import re

#: The operations whose names are words of the API, or of how it sends things.
_WORDS = {
    "abortUpload": "upload a file",
    "checkBlobs": "upload files",
    "completeUpload": "upload a file",
    "createUpload": "upload a file",
    "getUpload": "upload a file",
    "listProjectMetrics": "list metrics",
    "listRows": "list the rows of a table",
    "logMetricBatch": "log metrics",
    "putBlob": "upload a file",
    "putBlobs": "upload files",
    "putUploadPart": "upload a file",
    "sampleMetric": "read metrics",
    "sampleProjectMetrics": "read metrics",
    "summarizeMetrics": "summarize metrics",
    "summarizeProjectMetrics": "summarize metrics",
    "tabulateRuns": "list runs",
    "verifyApiKey": "verify the API key",
}
_CAPITAL = re.compile(r"[A-Z]")


def failure_of(operation: str) -> str:
    """Returns the beginning of a message about a request that failed.

    Args:
        operation: The operation, such as `listRuns`, which becomes `Cannot list runs`; or the
            method and path of another request, which stay as the program has them.
    """
    if operation.islower() or not operation.isalpha():
        return operation
    words = _WORDS.get(operation) or _CAPITAL.sub(lambda it: f" {it[0].lower()}", operation)
    return f"Cannot {words}"
