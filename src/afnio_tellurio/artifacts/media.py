"""Images and sounds as bytes of a file: those of a file, or made from arrays and figures."""

from __future__ import annotations

import io
import os
import struct
import wave
import zlib
from pathlib import Path
from typing import Any

from afnio_tellurio.interruptions import raise_foreign

#: How the files of the formats that browsers show begin, and their content types.
_IMAGES = (
    (b"\x89PNG\r\n\x1a\n", 0, "image/png"),
    (b"\xff\xd8\xff", 0, "image/jpeg"),
    (b"GIF8", 0, "image/gif"),
    (b"WEBP", 8, "image/webp"),
)
_SOUNDS = (
    (b"WAVE", 8, "audio/wav"),
    (b"ID3", 0, "audio/mpeg"),
    (b"\xff\xfb", 0, "audio/mpeg"),
    (b"\xff\xf3", 0, "audio/mpeg"),
    (b"OggS", 0, "audio/ogg"),
    (b"fLaC", 0, "audio/flac"),
)
_FORMATS = {"image": _IMAGES, "audio": _SOUNDS}
_BEGINNING_BYTES = 16
_COLOR_TYPES = {1: 0, 3: 2, 4: 6}
_MAX_RATE = 768_000


def encoded_image(image: Any) -> tuple[bytes, str]:
    """The bytes of an image file, and their content type.

    Raises:
        OSError: The file cannot be read.
        TypeError: It is not an image.
        ValueError: It is a file or an array that is not an image.
    """
    if isinstance(image, str | os.PathLike | bytes | bytearray | memoryview):
        return _from_file("log_image", "image", image, _IMAGES, "a PNG, JPEG, GIF or WebP file")
    if hasattr(image, "savefig"):
        buffer = io.BytesIO()
        image.savefig(buffer, format="png")
        return buffer.getvalue(), "image/png"
    if hasattr(image, "save") and hasattr(image, "mode"):
        buffer = io.BytesIO()
        image.save(buffer, format="PNG")
        return buffer.getvalue(), "image/png"
    return _png(_array("log_image", "image", image)), "image/png"


def encoded_audio(audio: Any, sample_rate: int | None) -> tuple[bytes, str]:
    """The bytes of a sound file, and their content type.

    Args:
        audio: The path or the bytes of a file, or an array.
        sample_rate: Samples in a second, for an array.

    Raises:
        OSError: The file cannot be read.
        TypeError: It is not a sound, or the sample rate is not an integer.
        ValueError: It is a file or an array that is not a sound, or the sample rate is missing or
            invalid.
    """
    if isinstance(audio, str | os.PathLike | bytes | bytearray | memoryview):
        return _from_file("log_audio", "audio", audio, _SOUNDS, "a WAV, MP3, Ogg or FLAC file")
    array = _array("log_audio", "audio", audio)
    if isinstance(sample_rate, bool) or not isinstance(sample_rate, int | None):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"log_audio: sample_rate is {sample_rate!r}; it must be an integer")
    if sample_rate is None or not 0 < sample_rate <= _MAX_RATE:
        raise ValueError(
            f"log_audio: sample_rate is {sample_rate!r}; for an array it must be from 1 to "
            f"{_MAX_RATE}"
        )
    return _wav(array, sample_rate), "audio/wav"


def content_type_of(file: Path, kind: str) -> str | None:
    """Returns the content type of a file by how it begins, or None if it is not of the kind.

    Args:
        file: The file.
        kind: `"image"` or `"audio"`.

    Raises:
        OSError: It cannot be read.
    """
    with file.open("rb") as stream:
        return _matched(stream.read(_BEGINNING_BYTES), _FORMATS[kind])


def _matched(data: bytes, formats: tuple[tuple[bytes, int, str], ...]) -> str | None:
    for beginning, offset, content_type in formats:
        if data[offset : offset + len(beginning)] == beginning:
            return content_type
    return None


def _from_file(
    call: str, what: str, source: Any, formats: tuple[tuple[bytes, int, str], ...], wanted: str
) -> tuple[bytes, str]:
    is_path = isinstance(source, str | os.PathLike)
    data = Path(source).read_bytes() if is_path else bytes(source)  # pyright: ignore[reportUnknownArgumentType]
    content_type = _matched(data, formats)
    if content_type is not None:
        return data, content_type
    subject = f"{source!r}" if is_path else f"{what} of {len(data):,} bytes"
    raise ValueError(f"{call}: {subject} is not {wanted}")


def _array(call: str, what: str, value: Any) -> Any:
    """A NumPy array."""
    if hasattr(value, "detach"):
        # A tensor of PyTorch, which may be on a GPU.
        value = value.detach().cpu()
        if str(getattr(value, "dtype", "")) == "torch.bfloat16":
            # NumPy does not have it.
            value = value.float()
    if not hasattr(value, "__array__"):
        raise TypeError(
            f"{call}: {what} is of type {type(value).__name__}; pass the path or bytes of a file, "
            "or an array"
        )
    import numpy as np

    try:
        return np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise_foreign(error)
        raise TypeError(f"{call}: {what} cannot be made into an array: {error}") from error


def _png(array: Any) -> bytes:
    """The bytes of a PNG file with the pixels of an array."""
    import numpy as np

    pixels = array[:, :, None] if array.ndim == 2 else array  # noqa: PLR2004 - rows and columns
    if pixels.ndim != 3 or pixels.shape[2] not in _COLOR_TYPES or 0 in pixels.shape:  # noqa: PLR2004
        raise ValueError(
            f"log_image: image is an array of shape {array.shape}; it must be (height, width) or "
            "(height, width, 1, 3, or 4)"
        )
    if pixels.dtype.kind == "f":
        if not np.isfinite(pixels).all() or pixels.min() < 0 or pixels.max() > 1:
            raise ValueError("log_image: image has floats outside of 0 to 1; scale them")
        pixels = (pixels * 255).round()
    elif pixels.dtype.kind == "b":
        pixels = pixels.astype(np.uint8) * 255
    elif pixels.dtype.kind not in "iu" or pixels.min() < 0 or pixels.max() > 255:  # noqa: PLR2004
        raise ValueError("log_image: image must have integers from 0 to 255 or floats from 0 to 1")
    pixels = np.ascontiguousarray(pixels, dtype=np.uint8)
    height, width, channels = pixels.shape
    rows = np.zeros((height, 1 + width * channels), dtype=np.uint8)
    rows[:, 1:] = pixels.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOR_TYPES[channels], 0, 0, 0)
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            _png_chunk(b"IHDR", header),
            _png_chunk(b"IDAT", zlib.compress(rows.tobytes(), 6)),
            _png_chunk(b"IEND", b""),
        )
    )


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _wav(array: Any, sample_rate: int) -> bytes:
    """The bytes of a WAV file with the samples of an array."""
    import numpy as np

    samples = array[:, None] if array.ndim == 1 else array
    if samples.ndim != 2 or 0 in samples.shape or samples.shape[1] > 8:  # noqa: PLR2004
        raise ValueError(
            f"log_audio: audio is an array of shape {array.shape}; it must be (samples,) or "
            "(samples, channels), with up to 8 channels"
        )
    if samples.dtype.kind == "f":
        if not np.isfinite(samples).all() or abs(samples).max() > 1:
            raise ValueError("log_audio: audio has floats outside of -1 to 1; scale them")
        samples = (samples * 32767).round()
    elif samples.dtype != np.int16:
        raise ValueError("log_audio: audio must have floats from -1 to 1 or integers of 16 bits")
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(np.ascontiguousarray(samples, dtype="<i2").tobytes())
    return buffer.getvalue()
