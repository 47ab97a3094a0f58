"""Which files an artifact has: patterns, links, special files, names, limits."""

import os
import socket
import sys
from pathlib import Path

import pytest

from afnio_tellurio.artifacts import collecting
from afnio_tellurio.artifacts.collecting import collect_directory, collect_file

needs_links = pytest.mark.skipif(os.name == "nt", reason="on Windows, not every user can link")
needs_modes = pytest.mark.skipif(os.name == "nt", reason="Windows has no permission bits")
needs_byte_names = pytest.mark.skipif(
    sys.platform != "linux", reason="other systems have no such names"
)


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "folder"
    for name in ("b.txt", "a.pt", "runs/1/a.pt", "runs/1/log.txt", "runs/2/a.pt", ".hidden"):
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    return path


def paths(*arguments, **keywords):
    return [source.path_in_artifact for source in collect_directory(*arguments, **keywords)]


def test_the_files_of_a_folder_are_sorted_by_their_paths(folder):
    assert paths(folder) == [
        ".hidden", "a.pt", "b.txt", "runs/1/a.pt", "runs/1/log.txt", "runs/2/a.pt",
    ]  # fmt: skip
    for source in collect_directory(folder):
        assert source.file.read_text() == source.path_in_artifact


def test_the_files_can_be_in_a_folder_of_the_artifact(folder):
    assert paths(folder, "model/x", include=["b.txt"]) == ["model/x/b.txt"]
    with pytest.raises(ValueError, match=r"the path '\.\./b\.txt' has the part '\.\.'"):
        collect_directory(folder, "..", include=["b.txt"])


@pytest.mark.parametrize(
    ("include", "found"),
    [
        (["*.txt"], ["b.txt", "runs/1/log.txt"]),
        (["/*.txt"], ["b.txt"]),
        (["runs/*.txt"], []),
        (["runs/*/*.txt"], ["runs/1/log.txt"]),
        (["runs/**/a.pt"], ["runs/1/a.pt", "runs/2/a.pt"]),
        (["**/1/**"], ["runs/1/a.pt", "runs/1/log.txt"]),
        (["**/a.pt"], ["a.pt", "runs/1/a.pt", "runs/2/a.pt"]),
        (["1"], ["runs/1/a.pt", "runs/1/log.txt"]),
        (["1/"], ["runs/1/a.pt", "runs/1/log.txt"]),
        (["b.txt/"], []),
        (["runs"], ["runs/1/a.pt", "runs/1/log.txt", "runs/2/a.pt"]),
        (["?.pt", "[b-c].*"], ["a.pt", "b.txt", "runs/1/a.pt", "runs/2/a.pt"]),
        (["B.TXT"], []),
        (["/a.pt", "2"], ["a.pt", "runs/2/a.pt"]),
        (["a/**/a.pt", "**/**/log.txt"], ["runs/1/log.txt"]),
    ],
)
def test_include(folder, include, found):
    if found:
        assert paths(folder, include=include) == found
    else:
        with pytest.raises(ValueError, match="has no files to log; check include and exclude"):
            collect_directory(folder, include=include)


def test_exclude_comes_after_include(folder):
    assert paths(folder, exclude=["*.pt", ".*"]) == ["b.txt", "runs/1/log.txt"]
    assert paths(folder, exclude=["runs/1/", ".*"]) == ["a.pt", "b.txt", "runs/2/a.pt"]
    assert paths(folder, include=["runs"], exclude=["log.txt", "2"]) == ["runs/1/a.pt"]


@pytest.mark.parametrize("part", ["*.pt", "a.*", "**"])
def test_a_pattern_of_many_stars_takes_no_time(tmp_path, part):
    deep = tmp_path / "f" / "/".join("a" * 200)
    deep.mkdir(parents=True)
    (deep / "a.pt").touch()
    (tmp_path / "f" / "b").touch()
    assert paths(tmp_path / "f", include=["**/a/" * 100 + part + "/z", "/b"]) == ["b"]


@pytest.mark.parametrize(
    ("patterns", "kind", "message"),
    [
        ("*.pt", TypeError, r"include is '\*\.pt'; it must be a list"),
        ([b"*.pt"], TypeError, "a pattern must be a string"),
        (["!*.pt"], ValueError, "starts with !"),
        (["a\\*.pt"], ValueError, "has a backslash"),
        (["../*"], ValueError, "must be relative"),
        (["./a.pt"], ValueError, "must be relative"),
        (["a//b"], ValueError, "must be relative"),
        ([""], ValueError, "must be relative"),
        (["/"], ValueError, "must be relative"),
    ],
)
def test_invalid_patterns_are_refused(folder, patterns, kind, message):
    with pytest.raises(kind, match=message):
        collect_directory(folder, include=patterns)


def test_a_folder_must_have_files(tmp_path):
    (tmp_path / "empty" / "inner").mkdir(parents=True)
    with pytest.raises(ValueError, match="empty' has no files to log$"):
        collect_directory(tmp_path / "empty")
    with pytest.raises(FileNotFoundError, match="missing"):
        collect_directory(tmp_path / "missing")
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="file' is not a folder"):
        collect_directory(tmp_path / "file")


def test_one_file_has_its_own_name_or_another(folder):
    for name, expected in ((None, "b.txt"), ("data/c.txt", "data/c.txt")):
        (source,) = collect_file(folder / "b.txt", name)
        assert (source.path_in_artifact, source.file.read_text()) == (expected, "b.txt")
    with pytest.raises(ValueError, match="is absolute"):
        collect_file(folder / "b.txt", "/etc/passwd")
    with pytest.raises(FileNotFoundError, match="missing"):
        collect_file(folder / "missing")
    with pytest.raises(ValueError, match="is a folder"):
        collect_file(folder)


@needs_modes
def test_what_its_owner_can_execute_is_executable(folder):
    (folder / "a.pt").chmod(0o700)
    (folder / "b.txt").chmod(0o655)
    found = {source.path_in_artifact: source.executable for source in collect_directory(folder)}
    assert found["a.pt"]
    assert not found["b.txt"]
    assert collect_file(folder / "a.pt")[0].executable


@needs_links
class TestLinks:
    def test_those_within_the_folder_are_followed(self, folder):
        (folder / "latest").symlink_to("runs/2")
        (folder / "absolute").symlink_to(folder / "runs" / "1")
        (folder / "file").symlink_to("latest/a.pt")
        found = {source.path_in_artifact: source.file for source in collect_directory(folder)}
        real = Path(os.path.realpath(folder))
        assert found["latest/a.pt"] == found["file"] == real / "runs/2/a.pt"
        assert found["absolute/log.txt"] == real / "runs/1/log.txt"

    def test_a_link_to_the_folder_itself_is_followed(self, folder, tmp_path):
        (tmp_path / "link").symlink_to(folder)
        assert paths(tmp_path / "link") == paths(folder)
        (tmp_path / "file.txt").symlink_to(folder / "b.txt")
        (source,) = collect_file(tmp_path / "file.txt")
        assert source.path_in_artifact == "file.txt"
        assert source.file == Path(os.path.realpath(folder / "b.txt"))

    @pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "runs/../../outside", ".."])
    def test_one_that_leads_out_is_refused(self, folder, tmp_path, target):
        (tmp_path / "outside").write_text("secret")
        (folder / "runs" / "link").symlink_to(target if target[0] == "/" else f"../{target}")
        with pytest.raises(ValueError, match=r"folder/runs/link' leads out of .*; exclude it"):
            collect_directory(folder)
        assert paths(folder, include=["b.txt"], exclude=["link"]) == ["b.txt"]

    def test_one_that_leads_out_over_a_neighbor_with_the_same_start_is_refused(self, folder):
        outside = folder.with_name("folder2")
        outside.mkdir()
        (outside / "secret").touch()
        (folder / "link").symlink_to(outside)
        with pytest.raises(ValueError, match="leads out of"):
            collect_directory(folder)

    @pytest.mark.parametrize("target", ["../..", "..", ".", "../../runs"])
    def test_one_to_a_folder_that_contains_it_is_refused(self, folder, target):
        (folder / "runs" / "1" / "up").symlink_to(target)
        with pytest.raises(ValueError, match=r"folder/runs/1/up' leads to .* contains it"):
            collect_directory(folder)

    def test_two_that_lead_to_each_others_folders_are_refused(self, folder):
        (folder / "runs" / "1" / "other").symlink_to("../2")
        (folder / "runs" / "2" / "other").symlink_to("../1")
        with pytest.raises(ValueError, match="contains it"):
            collect_directory(folder)

    @pytest.mark.parametrize(
        ("target", "message"), [("missing", "leads to nothing"), ("link", "leads to itself")]
    )
    def test_one_to_nothing_is_refused(self, folder, target, message):
        (folder / "link").symlink_to(target)
        with pytest.raises(ValueError, match=f"folder/link' {message}.*; exclude it"):
            collect_directory(folder)
        assert "link" not in paths(folder, exclude=["link"])
        assert paths(folder, include=["b.txt"]) == ["b.txt"]

    def test_all_can_be_refused(self, folder):
        assert paths(folder, symlinks="refuse") == paths(folder)
        (folder / "latest").symlink_to("runs/2")
        with pytest.raises(ValueError, match="folder/latest' is refused"):
            collect_directory(folder, symlinks="refuse")
        with pytest.raises(ValueError, match="symlinks is 'skip'; it must be"):
            collect_directory(folder, symlinks="skip")

    def test_links_that_multiply_are_refused(self, folder, monkeypatch):
        monkeypatch.setattr(collecting, "MAX_ARTIFACT_FILES", 1000)
        for level in range(20):
            inner = folder / f"level{level}"
            inner.mkdir()
            for name in ("x", "y"):
                (inner / name).symlink_to(f"../level{level + 1}")
        (folder / "level20").mkdir()
        with pytest.raises(ValueError, match="has more than 1,000 folders"):
            collect_directory(folder)

    def test_hard_links_are_files(self, folder):
        os.link(folder / "b.txt", folder / "c.txt")
        assert {"b.txt", "c.txt"} <= set(paths(folder))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
class TestSpecialFiles:
    def test_pipes_are_refused_and_not_opened(self, folder):
        os.mkfifo(folder / "runs" / "pipe")
        with pytest.raises(ValueError, match="folder/runs/pipe' is a pipe; only regular files"):
            collect_directory(folder)
        with pytest.raises(ValueError, match="is a pipe"):
            collect_file(folder / "runs" / "pipe")
        assert "runs/pipe" not in paths(folder, exclude=["pipe"])
        assert paths(folder, include=["b.txt"]) == ["b.txt"]

    def test_sockets_are_refused(self, folder, monkeypatch):
        monkeypatch.chdir(folder)  # the path of a socket must be short
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("socket")
            with pytest.raises(ValueError, match="folder/socket' is a socket"):
                collect_directory(folder)

    @pytest.mark.parametrize("device", ["/dev/null", "/dev/zero"])
    def test_devices_are_refused(self, device):
        with pytest.raises(ValueError, match=f"{device}' is a device"):
            collect_file(device)


@needs_byte_names
@pytest.mark.parametrize("name", [b"bad\xff", b"inner\xfe/good"])
def test_names_that_are_not_utf_8_are_refused(folder, name):
    path = os.path.join(os.fsencode(folder), name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb"):
        pass
    with pytest.raises(ValueError, match=r"\\udcf.*is not valid Unicode; rename it") as caught:
        collect_directory(folder)
    str(caught.value).encode()
    with pytest.raises(ValueError, match="is not valid Unicode") as caught:
        collect_file(os.fsdecode(path), None if name[0] == ord("b") else "\udcff")
    str(caught.value).encode()


@needs_links
@pytest.mark.parametrize("name", ["a:b", "aux", "a\nb", "end.", "a\\b"])
def test_names_that_other_systems_do_not_have_are_refused(folder, name):
    (folder / name).touch()
    with pytest.raises(ValueError, match="folder': the path .*; rename it, or exclude it"):
        collect_directory(folder)
    assert "b.txt" in paths(folder, exclude=[name.replace("\\", "?")])


@pytest.mark.skipif(sys.platform != "linux", reason="the file system may take them for one")
def test_names_that_are_one_on_other_systems_are_refused(folder):
    (folder / "B.txt").touch()
    with pytest.raises(ValueError, match="are the same on some systems; rename it"):
        collect_directory(folder)
    assert "B.txt" in paths(folder, exclude=["b.txt"])


def test_too_many_files_are_refused(folder, monkeypatch):
    monkeypatch.setattr(collecting, "MAX_ARTIFACT_FILES", 6)
    assert len(paths(folder)) == 6
    monkeypatch.setattr(collecting, "MAX_ARTIFACT_FILES", 5)
    with pytest.raises(ValueError, match="has more than 5 files; exclude some"):
        collect_directory(folder)
    assert paths(folder, exclude=["b.txt"])


def test_too_many_bytes_are_refused(folder, monkeypatch):
    with open(folder / "sparse", "wb") as file:
        file.truncate(2**40)
    with pytest.raises(ValueError, match="has more than 1,099,511,627,776 bytes"):
        collect_directory(folder)
    collect_file(folder / "sparse")
    monkeypatch.setattr(collecting, "MAX_ARTIFACT_BYTES", 2**40 - 1)
    with pytest.raises(ValueError, match="sparse' has more than"):
        collect_file(folder / "sparse")


def test_a_folder_that_cannot_be_read_is_named(folder, monkeypatch):
    scan = os.scandir

    def refuse(path):
        if str(path).endswith("runs"):
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(collecting.os, "scandir", refuse)
    with pytest.raises(PermissionError, match="runs' cannot be read .*; change its permissions"):
        collect_directory(folder)
    assert "a.pt" in paths(folder, exclude=["runs"])
