"""The first rows of Parquet files, in a real browser."""

import datetime as dt
import decimal
import io
import os
import random
import re
import struct
import uuid

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from browser_pages import eventually, serious_barriers
from playwright.sync_api import expect

import afnio_tellurio as te

PROJECT = "/acme/projects/digits/"
HOSTILE = "<img src=x onerror=alert(1)>\u202e"
CODECS = ["none", "snappy", "zstd", "gzip"]
#: What a page may read of a file.
MOST_BYTES = 8_000_000


def written(table, **options):
    """The bytes of a Parquet file."""
    file = io.BytesIO()
    pq.write_table(table, file, **options)
    return file.getvalue()


@pytest.fixture
def show(open_page, client):
    """Logs a file in an artifact, and opens its preview."""

    def show(data, path="rows.parquet", **options):
        artifact = te.Artifact("data", "dataset").add_bytes(data, path)
        with te.init("acme", "Digits", "preparing", client=client) as run:
            version = run.log_artifact(artifact, wait=True).version
        page = open_page(f"{PROJECT}artifacts/data/{version}/", **options)
        page.locator(".files summary").click()
        return page.locator(".files li")

    return show


def loaded(item):
    """The bytes of each request for a file so far."""
    requests = item.page.evaluate("asked.filter(({ url }) => url.includes('/file/'))")
    return [request["size"] for request in requests]


def cells(item):
    """The texts of the rows."""
    expect(item.locator("tbody")).to_be_visible()
    read = "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))"
    return item.locator("tbody tr").evaluate_all(read)


VALUES = {
    "text": (pa.string(), ["plain", None], ["plain", "null"]),
    "empty": (pa.string(), ["", "a\nb"], ["", "a\nb"]),
    "category": (pa.dictionary(pa.int8(), pa.string()), ["x", None], ["x", "null"]),
    "whole": (pa.int32(), [-7, None], ["-7", "null"]),
    "large": (pa.int64(), [2**63 - 1, -(2**63)], [str(2**63 - 1), str(-(2**63))]),
    "unsigned": (pa.uint64(), [2**64 - 1, 0], [str(2**64 - 1), "0"]),
    "single": (pa.float32(), [0.1, None], ["0.1", "null"]),
    "double": (pa.float64(), [0.1 + 0.2, float("nan")], ["0.30000000000000004", "NaN"]),
    "infinite": (pa.float64(), [float("-inf"), 1e300], ["-Infinity", "1e+300"]),
    "flag": (pa.bool_(), [True, False], ["true", "false"]),
    "day": (
        pa.date32(),
        [dt.date(2026, 11, 27), dt.date(1969, 12, 31)],
        ["2026-11-27", "1969-12-31"],
    ),
    "moment": (
        pa.timestamp("us"),
        [1_795_741_323_456_789, -315_619_200_000_000],
        ["2026-11-27 01:02:03.456789", "1960-01-01 00:00:00"],
    ),
    "zoned": (
        pa.timestamp("ns", "Europe/Rome"),
        [1_000_000_001, -1],
        ["1970-01-01 00:00:01.000000001Z", "1969-12-31 23:59:59.999999999Z"],
    ),
    "clock": (
        pa.time64("us"),
        [dt.time(23, 59, 1, 5), dt.time(0)],
        ["23:59:01.000005", "00:00:00"],
    ),
    "price": (
        pa.decimal128(38, 4),
        [decimal.Decimal("-1234567890123456789012345678.9012"), decimal.Decimal("0.05")],
        ["-1234567890123456789012345678.9012", "0.0500"],
    ),
    "list": (pa.list_(pa.int64()), [[1, None, 2**60], []], [f"[1, null, {2**60}]", "[]"]),
    "deep": (pa.list_(pa.list_(pa.string())), [[["a"], None], None], ['[["a"], null]', "null"]),
    "struct": (
        pa.struct([("x", pa.int32()), ("y", pa.list_(pa.string()))]),
        [{"x": 1, "y": ["é"]}, None],
        ['{"x": 1, "y": ["é"]}', "null"],
    ),
    "map": (pa.map_(pa.string(), pa.int32()), [[("k", 1)], []], ['{"k": 1}', "{}"]),
    "binary": (pa.binary(), [b"\x00\xff", b"\x80" * 40], ["0x00ff", f"0x{'80' * 32}…"]),
    "fixed": (pa.binary(3), [b"\x01\x02\x03", None], ["0x010203", "null"]),
    "id": (pa.uuid(), [uuid.UUID(int=1).bytes, None], [str(uuid.UUID(int=1)), "null"]),
}


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_every_kind_of_value_is_shown(show, codec, version):
    arrays = {
        name: pa.array(values, kind) if name != "id" else pa.array(values, pa.binary(16)).cast(kind)
        for name, (kind, values, _) in VALUES.items()
    }
    item = show(written(pa.table(arrays), compression=codec, data_page_version=version))
    expect(item.locator("thead th")).to_have_text(list(VALUES))
    first, second = cells(item)
    assert dict(zip(VALUES, zip(first, second, strict=True), strict=True)) == {
        name: tuple(texts) for name, (_, _, texts) in VALUES.items()
    }
    expect(item).to_contain_text("2 rows")


@pytest.mark.parametrize("codec", ["uncompressed", "snappy", "zstd", "gzip"])
def test_files_of_polars_are_shown(show, codec):
    file = io.BytesIO()
    count = 100_000
    frame = pl.DataFrame(
        {
            "number": range(count),
            "name": [f"row {number % 300}" for number in range(count)],
            "items": [[number, number + 1] for number in range(count)],
        }
    )
    frame.write_parquet(file, compression=codec)
    item = show(file.getvalue())
    rows = cells(item)
    assert rows == [[str(n), f"row {n}", f"[{n}, {n + 1}]"] for n in range(200)]
    expect(item).to_contain_text("Only the first 200 of 100,000 rows are shown.")


@pytest.mark.parametrize(
    "encoding",
    ["DELTA_BINARY_PACKED", "BYTE_STREAM_SPLIT", "DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"],
)
def test_other_encodings_are_shown(show, encoding):
    is_text = encoding.endswith("BYTE_ARRAY")
    values = [f"prefix {n}" if n % 3 else None for n in range(5000)] if is_text else range(5000)
    table = pa.table({"value": values})
    item = show(written(table, use_dictionary=False, column_encoding=encoding))
    assert cells(item) == [["null" if value is None else str(value)] for value in values[:200]]


def test_only_some_bytes_of_a_large_file_are_read(show):
    count = 1_000_000
    table = pa.table(
        {"number": pa.array(range(count)), "noise": [os.urandom(20) for _ in range(count)]}
    )
    data = written(table)
    assert len(data) > 3 * MOST_BYTES
    item = show(data)
    assert [row[0] for row in cells(item)] == [str(number) for number in range(200)]
    assert sum(loaded(item)) < MOST_BYTES
    expect(item).to_contain_text("Only the first 200 of 1,000,000 rows are shown.")


def test_rows_go_on_in_the_next_group(show):
    table = pa.table({"number": range(1000), "list": [[n] * (n % 3) for n in range(1000)]})
    item = show(written(table, row_group_size=30))
    assert cells(item) == [[str(n), str([n] * (n % 3))] for n in range(200)]
    assert len(loaded(item)) == 1


def test_nested_rows_that_many_pages_hold_are_complete(show):
    table = pa.table({"list": [list(range(n * 10)) for n in range(300)]})
    data = written(table, data_page_size=1000, write_batch_size=10, use_dictionary=False)
    rows = cells(show(data))
    assert len(rows) == 200
    assert rows[3] == [str(list(range(30)))]
    assert rows[199][0].startswith("[0, 1, 2")


def test_some_of_many_columns_are_shown(show):
    table = pa.table({f"c{n}": [n] for n in range(120)})
    item = show(written(table))
    expect(item.locator("thead th")).to_have_count(50)
    expect(item).to_contain_text("Only the first 50 of 120 columns are shown.")
    item = show(written(pa.table({"none": pa.array([], pa.int64())})))
    expect(item).to_contain_text("0 rows")
    expect(item.locator("thead th")).to_have_text(["none"])


def test_a_file_of_a_run_is_shown(open_page, client, tmp_path):
    source = tmp_path / "rows.parquet"
    source.write_bytes(written(pa.table({"number": [1, 2]})))
    with te.init("acme", "Digits", "training", client=client) as run:
        run.log_file(source)
    page = open_page(f"{PROJECT}runs/{run.uuid}/?tab=files")
    page.locator(".files summary").click()
    assert cells(page.locator(".files li")) == [["1"], ["2"]]


def refused(item, words):
    told = item.get_by_role("status")
    expect(told).to_contain_text("This file cannot be shown")
    expect(told).to_contain_text(re.compile(words))
    expect(item.get_by_role("button", name="Download")).to_be_visible()
    assert item.locator("table").count() == 0


@pytest.mark.parametrize(
    "data",
    [b"", b"PAR1", b"a,b\n1,2\n" * 10, b"PAR1" + bytes(100_000)],
    ids=["empty", "short", "text", "zeros"],
)
def test_what_is_no_parquet_file_is_not_shown(show, data):
    refused(show(data), "it is not a Parquet file")


def test_a_truncated_file_is_not_shown(show):
    data = written(pa.table({"number": range(1000)}))
    refused(show(data[: len(data) // 2]), "it is not a Parquet file")
    refused(show(data[:100] + data[-100:]), "beyond its end|damaged|bytes")


@pytest.mark.parametrize("codec", CODECS)
def test_damage_ends_in_a_message(show, codec):
    data = bytearray(written(pa.table({"text": ["some text"] * 3000}), compression=codec))
    data[4:60] = random.Random(codec).randbytes(56)
    refused(show(bytes(data)), ": \\w")


@pytest.mark.parametrize("codec", ["snappy", "zstd", "gzip"])
def test_a_page_that_becomes_large_is_not_decoded(show, codec):
    table = pa.table({"bomb": ["\0" * 100_000_000], "small": [1]})
    data = written(table, compression=codec, use_dictionary=False, write_statistics=False)
    assert len(data) < MOST_BYTES
    item = show(data)
    expect(item).to_contain_text(
        "The column bomb cannot be shown: it is damaged or not supported: too many"
    )
    assert cells(item) == [["null", "1"]]


def test_a_column_that_needs_too_many_bytes_is_left_out(show):
    table = pa.table({"large": [os.urandom(9_000_000)], "small": [1]})
    item = show(written(table, use_dictionary=False, write_statistics=False))
    expect(item).to_contain_text("The column large cannot be shown: more than 8 MB")
    assert cells(item) == [["null", "1"]]
    assert sum(loaded(item)) < MOST_BYTES
    refused(
        show(written(table.select(["large"]), use_dictionary=False, write_statistics=False)),
        "more than 8 MB",
    )


def footer_only(metadata):
    """A file that has nothing but metadata."""
    return b"PAR1" + metadata + struct.pack("<I", len(metadata)) + b"PAR1"


def varint(number):
    data = b""
    while number > 127:
        data += bytes([number & 127 | 128])
        number >>= 7
    return data + bytes([number])


def test_metadata_cannot_take_all_memory(show):
    # Lists of lists, each of which declares thirty million elements.
    nested = b"\x29" + b"".join(b"\xf9" + varint(30_000_000) for _ in range(500))
    refused(show(footer_only(nested)), "too many elements")


def test_a_run_of_values_cannot_take_all_memory(show):
    data = written(pa.table({"a": pa.array([1] * 100)}), compression="none", write_statistics=False)
    # The definition levels: their length, the run of 100 times 1.
    levels = struct.pack("<I", 3) + varint(100 << 1) + b"\x01"
    assert data.count(levels) == 1
    bomb = struct.pack("<I", 3) + varint(8191 << 1) + b"\x01"
    item = show(data.replace(levels, bomb))
    refused(item, "too many values in a run")


def test_shared_prefixes_cannot_take_all_memory(show):
    values = ["a" * 10_000_000, *["a" * 10_000_000 + "b"] * 20]
    table = pa.table({"bomb": values, "small": range(21)})
    data = written(
        table, use_dictionary=["small"], column_encoding={"bomb": "DELTA_BYTE_ARRAY"},
        write_statistics=False, compression="snappy",
    )  # fmt: skip
    item = show(data)
    expect(item).to_contain_text("too many bytes in prefixes")
    assert len(cells(item)) == 21


def test_a_decoder_that_does_not_end_is_stopped(show, open_page):
    page = open_page()
    endless = "postMessage({}); onmessage = () => { for (;;); };"
    page.route(
        "**/decoding.js",
        lambda route: route.fulfill(body=endless, content_type="text/javascript"),
    )
    item = show(written(pa.table({"a": [1]})))
    expect(item).to_contain_text("Loading")
    eventually(page, expect(item.get_by_role("status")).to_contain_text, "takes too long")


def test_a_file_that_the_server_no_longer_has_is_a_message(show, open_page):
    page = open_page()
    page.route("**/file/**", lambda route: route.fulfill(status=404, json={"detail": "Gone."}))
    refused(show(written(pa.table({"a": [1]}))), "Gone\\. Download")


def test_a_preview_can_be_closed_and_opened_again(show):
    item = show(written(pa.table({"a": [1]})))
    assert cells(item) == [["1"]]
    item.locator("summary").click()
    expect(item.locator("table")).to_have_count(0)
    item.locator("summary").click()
    assert cells(item) == [["1"]]


def test_names_and_values_are_text(show):
    table = pa.table(
        {HOSTILE: [HOSTILE], "__proto__": [1], "constructor": [None], "": ["x" * 1000]}
    )
    item = show(written(table))
    expect(item.locator("thead th")).to_have_text([HOSTILE, "__proto__", "constructor", ""])
    assert cells(item) == [[HOSTILE, "1", "null", "x" * 300 + "…"]]
    assert item.locator("img, script, svg, iframe").count() == 0


def test_the_decoder_is_loaded_only_for_parquet_files(show):
    item = show(b"a,b\n1,2\n", "rows.csv")
    expect(item.locator("tbody tr")).to_have_count(1)
    urls = set()
    item.page.on("request", lambda request: urls.add(request.url))
    item = show(b"a,b\n1,2\n", "rows.csv")
    expect(item.locator("tbody tr")).to_have_count(1)
    assert [url for url in urls if url.endswith("/previews.js")]
    assert not [url for url in urls if re.search("parquet|decoding|fzstd", url)]
    item = show(written(pa.table({"a": [1]})))
    assert cells(item) == [["1"]]
    assert [url for url in urls if url.endswith("/parquet.js")]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_parquet_files_are_for_everybody_and_any_width(show, scheme):
    table = pa.table({"x" * 100: ["y" * 400, None], **{f"c{n}": [n, n] for n in range(60)}})
    item = show(written(table), scheme=scheme)
    expect(item.locator("tbody")).to_be_visible()
    assert serious_barriers(item.page) == []
    for width in (1280, 390):
        item.page.set_viewport_size({"width": width, "height": 900})
        item.page.wait_for_function(
            "(width) => document.documentElement.scrollWidth <= width", arg=width
        )
