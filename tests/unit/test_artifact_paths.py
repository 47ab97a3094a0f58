"""The paths of files in artifacts, and the manifest."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afnio_tellurio.artifact_manifests import ManifestFile, decode_manifest, encode_manifest
from afnio_tellurio.artifact_paths import check_path, check_paths

DIGEST = hashlib.sha256(b"x").hexdigest()


@pytest.mark.parametrize(
    "path",
    [
        "model.pt", "a/b/c.txt", ".hidden", "a/.b/..c", "...a", "f\u00fcr/\u6a21\u578b.bin", "a b",
        "console", "com", "com10", "nul1", "auxiliary/x", "a.con", "x" * 255, "\U0001f600" * 63,
        "/".join(["abcdefghi"] * 102), "~", "#a", "%2e%2e/a", "a&b;c'd", "$HOME", "-rf",
    ],
)  # fmt: skip
def test_a_path_that_unpacks_on_every_system_is_valid(path):
    check_path(path)


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("", "is empty"),
        ("/etc/passwd", "is absolute"),
        ("//proc/self/root/etc/passwd", "is absolute"),
        ("..", "has the part '..'"),
        ("a/../../etc/passwd", "has the part '..'"),
        ("./a", "has the part '.'"),
        ("a//b", "has an empty part"),
        ("a/", "has an empty part"),
        ("a\\..\\b", "backslash"),
        ("\\\\server\\share", "backslash"),
        ("C:/a", "drive letter"),
        ("c:a", "drive letter"),
        ("file:///etc/passwd", "':', which Windows"),
        ("a/b?c", "'?', which Windows"),
        ("a\0b", "control character"),
        ("a\nb", "control character"),
        ("a\x7f", "control character"),
        ("a\x9b31m", "control character"),
        ("a\ud800", "not valid Unicode"),
        ("gpj.\u202eexe", "direction of text"),
        ("a\u2066", "direction of text"),
        ("a\u200f", "direction of text"),
        ("a.", "ends with a dot"),
        ("a /b", "ends with a dot or a space"),
        ("... /b", "ends with a dot or a space"),
        ("con", "is a device on Windows"),
        ("a/NUL", "is a device on Windows"),
        ("Aux.txt", "is a device on Windows"),
        ("aux .txt", "is a device on Windows"),
        ("COM1", "is a device on Windows"),
        ("com\u00b9.log", "is a device on Windows"),
        ("LPT\u00b3", "is a device on Windows"),
        ("CONIN$", "is a device on Windows"),
        ("x" * 256, "part with more than 255 bytes"),
        ("\U0001f600" * 64, "part with more than 255 bytes"),
        ("/".join(["abcdefghi"] * 103), "more than 1,024 bytes"),
    ],
)
def test_another_path_is_refused_and_named(path, problem):
    with pytest.raises(ValueError, match=r"\Athe path '") as raised:
        check_path(path)
    assert problem in str(raised.value)
    assert str(raised.value).isprintable()
    with pytest.raises(ValueError, match="the path"):
        check_paths(["a-valid-one", path])


@pytest.mark.parametrize("character", '<>:"|?*')
def test_each_character_that_windows_refuses_is_refused(character):
    with pytest.raises(ValueError, match="which Windows does not allow"):
        check_path(f"data{character}")


@pytest.mark.parametrize(
    "paths",
    [
        ["a", "a"],
        ["Model.pt", "model.PT"],
        ["\u00e9", "e\u0301"],
        ["stra\u00dfe", "STRASSE"],
        ["\u00c9/a", "e\u0301/A"],
    ],
)
def test_paths_that_are_one_file_on_some_system_are_refused(paths):
    with pytest.raises(ValueError, match="two files have|the same on some systems"):
        check_paths(paths)


@pytest.mark.parametrize("paths", [["a", "a/b"], ["a/b/c", "A/B"], ["x/\u00e9/y/z", "x/e\u0301"]])
def test_a_path_that_is_a_folder_of_another_is_refused(paths):
    for order in (paths, paths[::-1]):
        with pytest.raises(ValueError, match="is also a folder of"):
            check_paths(order)


def test_paths_in_shared_folders_are_valid():
    check_paths(["a/b", "a/c", "a/d/e", "a/d/f", "ab", "a.b"])


@given(st.text())
def test_a_valid_path_never_leaves_its_folder(path):
    try:
        check_path(path)
    except ValueError:
        return
    assert path.encode().decode() == path
    parts = path.split("/")
    assert all(part.strip(". ") or part.startswith(".") for part in parts)
    assert not {"", ".", ".."} & set(parts)
    assert "\\" not in path
    assert ":" not in path


# Manifests


def test_a_manifest_has_the_files_by_path_and_only_what_they_have():
    files = [
        ManifestFile("b", DIGEST, 1, executable=True),
        ManifestFile("a/\U0001f600", reference="s3://x/y"),
        ManifestFile("a/\uffff", DIGEST, 0),
        ManifestFile("B", DIGEST, 2, reference="https://example.com/\u00e9"),
    ]
    expected = (
        f'[{{"path":"B","digest":"{DIGEST}","size":2,"reference":"https://example.com/\u00e9"}},'
        f'{{"path":"a/\uffff","digest":"{DIGEST}","size":0}},'
        '{"path":"a/\U0001f600","reference":"s3://x/y"},'
        f'{{"path":"b","digest":"{DIGEST}","size":1,"executable":true}}]'
    )
    assert encode_manifest(files) == expected.encode()
    assert sorted(files, key=lambda file: file.path.encode()) == decode_manifest(expected.encode())


@given(
    st.lists(
        st.tuples(st.text("ab/\u00e9\uffff\U0001f600", min_size=1), st.integers(0, 9)), max_size=5
    )
)
def test_a_manifest_is_the_json_that_the_contract_describes(pairs):
    files = [ManifestFile(path, DIGEST, size) for path, size in pairs]
    in_order = sorted(pairs, key=lambda pair: pair[0].encode())
    expected = [{"path": path, "digest": DIGEST, "size": size} for path, size in in_order]
    text = json.dumps(expected, ensure_ascii=False, separators=(",", ":"))
    assert encode_manifest(files) == text.encode()


@pytest.mark.parametrize(
    "manifest",
    [
        b"", b"[", b"{}", b"[1]", b'[{"path":1}]', b'[{"digest":"a"}]', b"\xff", b"[]\n", b"[ ]",
        b'[{"path": "a"}]', b'[{"path":"b"},{"path":"a"}]', b'[{"path":"a","digest":null}]',
        b'[{"path":"a","executable":false}]', b'[{"path":"a","other":1}]', b"[" * 100_000,
        b'[{"size":1,"path":"a"}]', b'[{"path":"\\u0061"}]', b'[{"path":"a","size":1.0}]',
    ],
)  # fmt: skip
def test_bytes_that_are_no_canonical_manifest_are_refused(manifest):
    with pytest.raises(ValueError, match="it is not"):
        decode_manifest(manifest)
