"""Images and sounds: bytes of a file, and arrays, decoded again with another program's code."""

import io
import struct
import wave
import zlib

import numpy as np
import pytest

from afnio_tellurio.artifacts.media import encoded_audio, encoded_image


def decode_png(data):
    """The pixels of a PNG of 8 bits without filters, and its checksums checked."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + length]
        assert struct.unpack(">I", data[at + 8 + length :][:4])[0] == zlib.crc32(kind + body)
        chunks[kind] = body
        at += 12 + length
    assert list(chunks) == [b"IHDR", b"IDAT", b"IEND"]
    width, height, depth, color, *rest = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    channels = {0: 1, 2: 3, 6: 4}[color]
    assert (depth, rest) == (8, [0, 0, 0])
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, -1)
    assert not rows[:, 0].any()
    return rows[:, 1:].reshape(height, width, channels)


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 1), (2, 3, 3), (2, 3, 4), (1, 1), (1, 700, 3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, np.float64, bool, np.float16])
def test_an_array_is_a_png_with_its_pixels(shape, dtype):
    pixels = np.random.default_rng(3).integers(0, 256, shape)
    if np.dtype(dtype).kind == "f":
        array, expected = (pixels / 255).astype(dtype), pixels
    elif dtype is bool:
        array, expected = pixels > 100, (pixels > 100) * 255
    else:
        array, expected = pixels.astype(dtype), pixels
    data, content_type = encoded_image(array)
    assert content_type == "image/png"
    decoded = decode_png(data)
    expected = expected.reshape(decoded.shape)
    assert decoded.tolist() == expected.tolist()


def test_an_array_in_another_order_of_memory_has_the_same_pixels():
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    for array in (np.asfortranarray(pixels), pixels[::-1][::-1], pixels.copy()[:, ::1]):
        assert decode_png(encoded_image(array)[0]).tolist() == pixels.tolist()


class Tensor:
    """As a tensor of PyTorch that requires a gradient, on a GPU."""

    def __init__(self, array, moves=()):
        self.array = array
        self.moves = moves

    def detach(self):
        return Tensor(self.array, (*self.moves, "detach"))

    def cpu(self):
        return Tensor(self.array, (*self.moves, "cpu"))

    def __array__(self, dtype=None, copy=None):
        assert self.moves == ("detach", "cpu")
        return self.array


def test_a_tensor_is_taken_from_its_device():
    assert decode_png(encoded_image(Tensor(np.ones((1, 2))))[0]).tolist() == [[[255], [255]]]
    assert len(encoded_audio(Tensor(np.zeros(9)), 8000)[0]) > 9


class Sparse(Tensor):
    """As a sparse tensor of PyTorch."""

    def cpu(self):
        return self

    def detach(self):
        return self

    def __array__(self, dtype=None, copy=None):
        raise TypeError("can't convert Sparse layout tensor to numpy")


def test_what_cannot_be_an_array_is_named():
    with pytest.raises(TypeError, match="^log_image: image cannot be made into an array: can't"):
        encoded_image(Sparse(None))


class Brain(Tensor):
    """As a tensor of PyTorch with a type that NumPy does not have."""

    dtype = "torch.bfloat16"

    def detach(self):
        return self

    def cpu(self):
        return self

    def float(self):
        return np.asarray(self.array, np.float32)

    __array__ = None


def test_a_tensor_of_a_type_that_numpy_lacks_is_converted():
    assert decode_png(encoded_image(Brain([[0.0, 1.0]]))[0]).tolist() == [[[0], [255]]]


class Figure:
    """As a figure of matplotlib."""

    def savefig(self, file, format):  # noqa: A002
        file.write(f"saved as {format}".encode())


class Image:
    """As an image of PIL."""

    mode = "RGB"

    def save(self, file, format):  # noqa: A002
        file.write(f"saved as {format}".encode())


def test_figures_and_images_of_libraries_save_themselves():
    assert encoded_image(Figure()) == (b"saved as png", "image/png")
    assert encoded_image(Image()) == (b"saved as PNG", "image/png")


@pytest.mark.parametrize(
    ("data", "content_type"),
    [
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"GIF87a", "image/gif"),
        (b"RIFF\1\0\0\0WEBPVP8 ", "image/webp"),
    ],
)
def test_the_bytes_of_an_image_stay_as_they_are(data, content_type, tmp_path):
    (tmp_path / "image").write_bytes(data)
    for image in (data, bytearray(data), tmp_path / "image", str(tmp_path / "image")):
        assert encoded_image(image) == (data, content_type)


@pytest.mark.parametrize(
    ("data", "content_type"),
    [
        (b"RIFF\1\0\0\0WAVEfmt ", "audio/wav"),
        (b"ID3\3", "audio/mpeg"),
        (b"\xff\xfb\x90", "audio/mpeg"),
        (b"OggS\0", "audio/ogg"),
        (b"fLaC", "audio/flac"),
    ],
)
def test_the_bytes_of_a_sound_stay_as_they_are(data, content_type, tmp_path):
    (tmp_path / "sound").write_bytes(data)
    for sound in (data, memoryview(data), tmp_path / "sound"):
        assert encoded_audio(sound, None) == (data, content_type)


@pytest.mark.parametrize("shape", [(9,), (9, 1), (9, 2), (1, 8)])
@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.float64])
def test_an_array_is_a_wav_with_its_samples(shape, dtype):
    samples = np.random.default_rng(5).integers(-32_767, 32_768, shape)
    array = samples.astype(dtype) if dtype is np.int16 else (samples / 32_767).astype(dtype)
    data, content_type = encoded_audio(array, 16_000)
    assert content_type == "audio/wav"
    with wave.open(io.BytesIO(data)) as file:
        assert (file.getframerate(), file.getsampwidth()) == (16_000, 2)
        assert file.getnchannels() == (1 if len(shape) == 1 else shape[1])
        decoded = np.frombuffer(file.readframes(100), "<i2").reshape(shape)
    assert decoded.tolist() == samples.tolist()


@pytest.mark.parametrize(
    ("image", "kind", "words"),
    [
        (b"<svg>", ValueError, "image of 5 bytes is not a PNG, JPEG, GIF or WebP file"),
        (b"", ValueError, "image of 0 bytes is not a PNG"),
        (3, TypeError, "image is of type int; pass the path or bytes of a file, or an array"),
        (None, TypeError, "image is of type NoneType"),
        ([[0, 1]], TypeError, "image is of type list"),
        (np.zeros(3), ValueError, r"an array of shape \(3,\); it must be \(height, width\)"),
        (np.zeros((3, 2, 2)), ValueError, r"of shape \(3, 2, 2\)"),
        (np.zeros((0, 2)), ValueError, r"of shape \(0, 2\)"),
        (np.full((1, 1), np.nan), ValueError, "floats outside of 0 to 1; scale them"),
        (np.full((1, 1), 1.5), ValueError, "floats outside of 0 to 1; scale them"),
        (np.full((1, 1), 256), ValueError, "integers from 0 to 255 or floats"),
        (np.full((1, 1), -1), ValueError, "integers from 0 to 255 or floats"),
        (np.full((1, 1), 1j), ValueError, "integers from 0 to 255 or floats"),
        (np.full((1, 1), "a"), ValueError, "integers from 0 to 255 or floats"),
    ],
)
def test_what_is_no_image_is_named(image, kind, words):
    with pytest.raises(kind, match=f"^log_image: {words}|^log_image: image .*{words}"):
        encoded_image(image)


@pytest.mark.parametrize(
    ("audio", "rate", "kind", "words"),
    [
        (b"MIDI", None, ValueError, "audio of 4 bytes is not a WAV, MP3, Ogg or FLAC file"),
        (3, 8000, TypeError, "audio is of type int"),
        (np.zeros(3), None, ValueError, "sample_rate is None; for an array it must be from 1 to"),
        (np.zeros(3), 0, ValueError, "sample_rate is 0"),
        (np.zeros(3), 10**6, ValueError, "sample_rate is 1000000"),
        (np.zeros(3), "8000", TypeError, "sample_rate is '8000'"),
        (np.zeros(3), 0.5, TypeError, "sample_rate is 0.5"),
        (np.zeros(3), True, TypeError, "sample_rate is True"),
        (np.zeros((3, 9)), 8000, ValueError, r"array of shape \(3, 9\)"),
        (np.zeros(0), 8000, ValueError, r"array of shape \(0,\)"),
        (np.full(3, np.inf), 8000, ValueError, "floats outside of -1 to 1; scale them"),
        (np.zeros(3, np.int32), 8000, ValueError, "floats from -1 to 1 or integers of 16 bits"),
    ],
)
def test_what_is_no_sound_is_named(audio, rate, kind, words):
    with pytest.raises(kind, match=f"^log_audio: .*{words}"):
        encoded_audio(audio, rate)


def test_a_file_that_is_missing_or_no_image_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="a.png"):
        encoded_image(tmp_path / "a.png")
    (tmp_path / "a.png").write_text("text")
    with pytest.raises(ValueError, match=r"a.png'\) is not a PNG"):
        encoded_image(tmp_path / "a.png")
