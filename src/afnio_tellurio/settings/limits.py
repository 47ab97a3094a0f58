"""Every tunable and every bound of the contract, with its unit and its reason."""

#: The version of the contract that this SDK was made for.
CONTRACT_VERSION = "0.1.0"
#: The header in which a backend names the version of its contract.
VERSION_HEADER = "Tellurio-Contract-Version"

#: Seconds to open a connection; a reachable host answers within one.
CONNECT_TIMEOUT = 5.0
#: Seconds between two bytes of an answer, or of a request being sent.
READ_TIMEOUT = 30.0
#: Seconds for a whole request, and the bytes that a slow network transmits in one more.
REQUEST_TIMEOUT = 60.0
SLOWEST_RATE = 50_000
#: Bytes of an answer, decoded; of one with an error status only the beginning is read.
ANSWER_BYTES = 64 * 2**20
ERROR_BYTES = 2**18
#: Transmitted bytes of a request and its answer that extend its time; endless ones must not.
COUNTED_BYTES = 2 * ANSWER_BYTES
#: How often a request is sent again after a failure that passes.
MAX_RETRIES = 2
#: Seconds before the first retry; doubled for the next.
CONNECT_RETRY_DELAY = 0.25

#: The contract's bounds of a metric.
MAX_NAME_LENGTH = 255
MAX_STEP = 2**63 - 1
#: Tags of one request.
MAX_TAGS = 100
#: Characters of the message and the traceback of an exception that ended a run, and of its type.
MAX_END_TEXT = 16_384
MAX_END_TYPE = 1024
#: Points of one curve.
MAX_BUCKETS = 10_000
#: Runs, and metric names, in one request for samples.
MAX_SAMPLED = 100
#: Nesting levels in one value: more would exhaust the stack of common JSON parsers.
MAX_VALUE_DEPTH = 100
#: Bytes of one value as JSON; with its name and step, it fits in the 8 MiB of a request.
MAX_VALUE_BYTES = 8_000_000

#: Metrics, runs, or items of another list in one answer when reading back.
METRICS_PAGE = 10_000
RUNS_PAGE = 500
LIST_PAGE = 500

#: Valid metric names that a process remembers; each takes some 100 bytes.
MAX_REMEMBERED_NAMES = 10_000
#: Metrics in one batch, the bounds of the contract in columns and as objects, and bytes of the
#: journal in one batch.
BATCH_METRICS = 10_000
OBJECT_BATCH_METRICS = 1000
BATCH_BYTES = 2**20
#: Blobs in one request: the bound of the contract.
CHECKED_BLOBS = 1000
#: Bytes of the largest blob that is sent whole, the bound of the contract, and of the blobs that
#: are sent together, from memory.
BLOB_BYTES = 16 * 2**20
BLOBS_BYTES = 2 * 2**20
#: Files of a version in the request that creates it, the bound of the contract; more are a blob.
INLINE_FILES = 1000
#: Characters of the type of an artifact, of a description, and of a reference.
MAX_ARTIFACT_TYPE = 64
MAX_ARTIFACT_NAME = 128
MAX_DESCRIPTION = 65_536
MAX_REFERENCE = 8192
#: Bytes of a file that a reference names; JSON of JavaScript has no larger integers.
MAX_REFERENCE_BYTES = 2**53
#: Bytes of the metadata of a version as JSON.
MAX_METADATA_BYTES = 65_536
#: Bytes of a file that are downloaded in one request, and bytes that an open file reads ahead.
DOWNLOADED_BYTES = 8 * 2**20
READ_AHEAD_BYTES = 2**20
#: Metrics that a backend refuses one after another before delivery holds: it may refuse all.
REFUSALS_IN_A_ROW = 10
#: Bytes of lines kept in memory while the disk is full; what exceeds them is lost.
HELD_BYTES = 32 * 2**20
#: Seconds that the sender waits for appends of other threads to end; each takes microseconds.
APPEND_TIMEOUT = 5.0
#: Seconds between attempts to write to a disk that was full.
WRITE_RETRY_DELAY = 1.0
#: Seconds after which the journal is synchronized to the disk (fsync).
SYNCHRONIZE_INTERVAL = 1.0
#: Seconds after which a thread without work ends.
LINGER_TIME = 10.0
#: Seconds that the sender lets metrics gather before it sends them.
GATHER_DELAY = 0.02
#: While this many metrics arrive within that time, the sender waits on, up to `BURST_DELAY` s.
BURST_METRICS = 1000
BURST_DELAY = 0.5
#: While fewer bytes wait after a batch, more metrics may gather before the next: a request takes as
#: long as a thousand metrics.
GATHERED_BYTES = 2**17
#: Seconds before a failed request is repeated: the first time, and at most.
FIRST_RETRY_DELAY = 0.2
MAX_RETRY_DELAY = 30.0
#: Seconds between attempts while a caller waits for delivery.
WAITING_RETRY_INTERVAL = 1.0
#: Seconds that `finish`, a read and the exit of the process wait for delivery.
DEFAULT_EXIT_TIMEOUT = 30.0
#: The share of it that opening the embedded backend waits for journals of dead processes.
RECOVERY_SHARE = 1 / 15
#: Seconds between two looks for journals of processes that have died since.
SETTLE_INTERVAL = 5.0

#: Seconds between two samples of system metrics: by default, and at least.
SYSTEM_INTERVAL = 10.0
MIN_SYSTEM_INTERVAL = 1.0
#: Processor seconds of a sample; if one takes more, the interval grows in proportion. At the
#: default interval, that is 0.1 % of a core.
SYSTEM_SAMPLE_TIME = 0.01
#: Characters of a printed line that is recorded, and bytes of all lines that a process prints.
MAX_CONSOLE_LINE = 8192
MAX_CONSOLE_BYTES = 50 * 2**20

#: Where `afnio-tellurio serve` listens by default.
SERVE_HOST = "127.0.0.1"
SERVE_PORT = 8642
#: Seconds that the printed link opens sessions, and that a session lasts: 10 minutes, 30 days.
LINK_TIME = 600.0
SESSION_TIME = 30 * 86_400.0
#: A server that has the page too sends this header; its page addresses runs by UUID.
PAGE_HEADER = "Tellurio-Page"

#: Files, folders and bytes of one artifact; more are most likely the wrong folder.
MAX_ARTIFACT_FILES = 100_000
MAX_ARTIFACT_BYTES = 2**40
#: Bytes of the largest file that is captured in one file with others: a file of its own takes a
#: block of the disk, and time.
PACKED_BYTES = 2**14
#: Bytes above which a file is not copied, but read where it is when it is delivered.
IN_PLACE_BYTES = 2**30
#: Bytes of a file in memory at one time.
PIECE_BYTES = 2**20
#: Bytes of a disk that captured files leave free; on a disk that is not larger, a share.
FREE_BYTES = 2**30
FREE_SHARE = 0.1
#: Bytes of captured files that may wait for delivery, or a share of the free bytes if that is more.
WAITING_BYTES = 2**30
WAITING_SHARE = 0.1
#: Bytes of downloaded files that are kept, or a share of the disk if that is less.
CACHE_BYTES = 10 * 2**30
CACHE_SHARE = 0.1
#: Seconds after its last use in which a downloaded file is not removed: a program may read it.
CACHE_IN_USE_TIME = 3600.0
#: The share of them that a process adds before it looks again for files to remove.
CACHE_PRUNE_SHARE = 0.01
#: Seconds that reading a prompt may take: a program that answers people must not wait longer.
PROMPT_TIMEOUT = 5.0
