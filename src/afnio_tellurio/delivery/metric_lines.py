"""Many metrics of a journal at once, in columns: an object for each would take most of the time."""

from __future__ import annotations

import sys
from array import array
from itertools import accumulate
from typing import TYPE_CHECKING
from zlib import crc32

import msgspec

from afnio_tellurio.api.metric_batches import Place  # noqa: TC001 - msgspec reads the annotation
from afnio_tellurio.delivery.records import Metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

#: The length of `["1c291ca3",` before what the checksum is of.
_CHECKSUM_LENGTH = 12


class _Line(msgspec.Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    """A line with one metric."""

    checksum: str
    count: int
    place: Place
    time: int
    name: str
    value: msgspec.Raw


_decode = msgspec.json.Decoder(list[_Line]).decode


def read_metrics(lines: Sequence[bytes], *, number: int, offset: int) -> Metrics | None:
    """Reads lines of metrics.

    Args:
        lines: The lines, without their newlines.
        number: The sequence number of the first metric.
        offset: The offset of the first line in the file.

    Returns:
        The metrics; None if a line is damaged, or is another record.
    """
    try:
        records = _decode(b"[%b]" % b",".join(lines))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    checksums = array("I", map(crc32, [line[_CHECKSUM_LENGTH:] for line in lines]))
    if sys.byteorder == "little":
        checksums.byteswap()
    if "".join([record.checksum for record in records]) != checksums.tobytes().hex():
        return None
    return Metrics(
        number,
        [record.name for record in records],
        [record.value for record in records],
        [record.place for record in records],
        [record.time for record in records],
        [record.count for record in records],
        list(accumulate([len(line) + 1 for line in lines], initial=offset))[1:],
    )
