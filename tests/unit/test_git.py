"""What is read of real Git repositories."""

import os
import shutil
import subprocess

import pytest

from afnio_tellurio.capture.git import (
    find_repository,
    is_dirty,
    read_branch,
    read_commit,
    read_remote,
)

pytestmark = pytest.mark.skipif(not shutil.which("git"), reason="requires git")


def git(folder, *arguments):
    identity = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    for who in ("AUTHOR", "COMMITTER"):
        identity |= {f"GIT_{who}_NAME": "Ada", f"GIT_{who}_EMAIL": "ada@example.com"}
    return subprocess.run(
        ["git", "-c", "protocol.file.allow=always", *arguments],
        cwd=folder,
        env={**os.environ, **identity},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()


@pytest.fixture
def folder(tmp_path):
    """A repository with one commit."""
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch", "main")
    (folder / "train.py").write_text("pass\n")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "Start")
    return folder


def facts(folder):
    repository = find_repository(str(folder))
    return read_commit(repository), read_branch(repository), is_dirty(repository)


def head(folder):
    return git(folder, "rev-parse", "HEAD")


def test_a_repository_is_found_from_a_folder_in_it(folder, tmp_path):
    (folder / "a" / "b").mkdir(parents=True)
    assert find_repository(str(folder / "a" / "b")).work_tree == os.path.realpath(folder)
    os.symlink(folder / "a", tmp_path / "link")
    assert find_repository(str(tmp_path / "link")).work_tree == os.path.realpath(folder)
    assert find_repository(str(tmp_path)) is None


def test_a_clean_repository_has_a_commit_and_a_branch(folder):
    assert facts(folder) == (head(folder), "main", False)
    (folder / "untracked").touch()
    os.utime(folder / "train.py", (1, 1))
    assert is_dirty(find_repository(str(folder))) is False


@pytest.mark.parametrize("change", ["content", "same size", "deleted", "staged", "mode"])
def test_a_change_makes_it_dirty(folder, change):
    path = folder / "train.py"
    if change == "deleted":
        path.unlink()
    elif change == "mode":
        path.chmod(0o755)
    else:
        path.write_text("fail\n" if change == "same size" else "print()\n")
    if change == "staged":
        git(folder, "add", ".")
    assert facts(folder) == (head(folder), "main", True)


def test_asking_changes_no_file_of_the_repository(folder):
    os.utime(folder / "train.py", (1, 1))
    index = folder / ".git" / "index"
    before = index.read_bytes(), index.stat().st_mtime_ns
    assert is_dirty(find_repository(str(folder))) is False
    assert (index.read_bytes(), index.stat().st_mtime_ns) == before


def test_no_program_that_the_repository_names_is_started(folder, tmp_path):
    script = tmp_path / "monitor"
    script.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    script.chmod(0o755)
    git(folder, "config", "core.fsmonitor", str(script))
    git(folder, "status")
    assert (tmp_path / "started").exists()
    (tmp_path / "started").unlink()
    assert is_dirty(find_repository(str(folder))) is False
    assert not (tmp_path / "started").exists()


def test_variables_of_a_hook_do_not_mislead(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "elsewhere"))
    assert is_dirty(find_repository(str(folder))) is False


def test_a_branch_may_have_slashes_and_be_nested(folder):
    git(folder, "switch", "--quiet", "--create", "feature/a.b")
    assert facts(folder) == (head(folder), "feature/a.b", False)


def test_a_detached_head_has_no_branch(folder):
    git(folder, "checkout", "--quiet", "--detach")
    assert facts(folder) == (head(folder), None, False)


def test_references_may_be_packed(folder):
    git(folder, "branch", "other/main")
    git(folder, "tag", "--annotate", "--message", "One", "main")
    git(folder, "pack-refs", "--all")
    assert not (folder / ".git" / "refs" / "heads" / "main").exists()
    assert facts(folder) == (head(folder), "main", False)


def test_without_a_commit_there_is_a_branch(tmp_path):
    git(tmp_path, "init", "--quiet", "--initial-branch", "trunk")
    assert facts(tmp_path) == (None, "trunk", False)


def test_an_added_work_tree_has_its_own_head(folder, tmp_path):
    added = tmp_path / "added"
    git(folder, "remote", "add", "origin", "https://host/x.git")
    git(folder, "worktree", "add", "--quiet", "-b", "side", str(added))
    (added / "train.py").write_text("print()\n")
    git(added, "commit", "--all", "--quiet", "--message", "Change")
    assert facts(added) == (head(added), "side", False)
    assert facts(folder) == (head(folder), "main", False)
    assert head(added) != head(folder)
    assert read_remote(find_repository(str(added))) == "https://host/x.git"
    git(added, "pack-refs", "--all")
    assert facts(added) == (head(added), "side", False)
    (added / "train.py").unlink()
    assert is_dirty(find_repository(str(added))) is True
    assert is_dirty(find_repository(str(folder))) is False


def test_a_submodule_is_a_repository_of_its_own(folder, tmp_path):
    outer = tmp_path / "outer"
    outer.mkdir()
    git(outer, "init", "--quiet", "--initial-branch", "main")
    git(outer, "submodule", "--quiet", "add", str(folder), "inner")
    git(outer, "commit", "--quiet", "--message", "Add")
    assert (outer / "inner" / ".git").is_file()
    assert facts(outer / "inner") == (head(folder), "main", False)
    assert read_remote(find_repository(str(outer / "inner"))) == str(folder)
    assert facts(outer) == (head(outer), "main", False)
    (outer / "inner" / "train.py").unlink()
    assert is_dirty(find_repository(str(outer))) is True


def test_a_commit_may_be_a_sha_256(tmp_path):
    git(tmp_path, "init", "--quiet", "--object-format", "sha256", "--initial-branch", "main")
    git(tmp_path, "commit", "--allow-empty", "--quiet", "--message", "Start")
    assert len(head(tmp_path)) == 64
    assert facts(tmp_path) == (head(tmp_path), "main", False)


@pytest.mark.parametrize("version", ["2", "3", "4"])
def test_every_version_of_the_index_is_read(folder, version):
    git(folder, "update-index", "--index-version", version)
    assert is_dirty(find_repository(str(folder))) is False
    (folder / "train.py").unlink()
    assert is_dirty(find_repository(str(folder))) is True


def test_a_corrupt_index_leaves_only_the_changes_unknown(folder):
    (folder / ".git" / "index").write_bytes(b"DIRC\0\0\0\2\0\0\xff\xffrubbish")
    assert facts(folder) == (head(folder), "main", None)


def test_without_the_git_command_only_the_changes_are_unknown(folder, monkeypatch):
    commit = head(folder)
    monkeypatch.setenv("PATH", "")
    assert facts(folder) == (commit, "main", None)


def test_a_status_that_nobody_can_learn_is_not_taken_for_success(folder, start_python):
    (folder / ".git" / "index").write_bytes(b"rubbish")
    program = start_python(
        "-c",
        "import signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        "from afnio_tellurio.capture.git import find_repository, is_dirty\n"
        "sys.exit(is_dirty(find_repository(sys.argv[1])) is not None)",
        str(folder),
    )
    assert program.wait() == 0


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe", b"ref:", b"ref: refs/heads/loop", b"ref: ../../../../etc/passwd", b"0" * 39],
)
def test_a_head_that_is_damaged_has_no_commit(folder, content):
    (folder / ".git" / "refs" / "heads" / "loop").write_text("ref: refs/heads/loop\n")
    (folder / ".git" / "HEAD").write_bytes(content)
    assert read_commit(find_repository(str(folder))) is None


def test_a_file_that_is_no_link_to_a_repository_is_passed_over(folder):
    inner = folder / "inner"
    inner.mkdir()
    for content in (b"", b"rubbish", b"gitdir: missing", b"\0", b"gitdir: \0"):
        (inner / ".git").write_bytes(content)
        assert find_repository(str(inner)).work_tree == os.path.realpath(folder)
    (inner / ".git").unlink()
    os.mkfifo(inner / ".git")
    assert find_repository(str(inner)).work_tree == os.path.realpath(folder)


@pytest.mark.parametrize(
    ("config", "url"),
    [
        ("", None),
        ('[remote "origin"]\n\turl = git@host:x.git\n', "git@host:x.git"),
        ('[remote "a"]\nurl=1\n[remote "origin"]\nurl=2\n[branch "origin"]\nurl=3', "2"),
        ('[remote "a"]\nurl=1\n[remote "b"]\nurl=2\n', "1"),
        ('[Remote "origin"] URL = "a b # c" ; d', "a b # c"),
        ('[remote "origin"]\nurl = a\\\nb # c\n', "ab"),
        ('[remote "origin"]\n# url = a\n; url = b\npushurl = c\nurl = d\n', "d"),
        ('[remote "origin"]\nurl = "C:\\\\x\\"y"\n', 'C:\\x"y'),
        ("[core]\nurl = a\n[remote]\nurl", None),
        ('[remote "or', None),
    ],
)
def test_the_remote_is_read_from_the_configuration(folder, config, url):
    (folder / ".git" / "config").write_text(config)
    assert read_remote(find_repository(str(folder))) == url


def test_a_remote_that_git_wrote_is_read(folder):
    url = 'https://user:p"a;s#s\\@host/x y.git'
    git(folder, "remote", "add", "origin", url)
    assert read_remote(find_repository(str(folder))) == url


@pytest.mark.parametrize(
    "line",
    ["[" * 900_000, '[remote "' + "\\" * 900_000, "a" * 2**20],
    ids=["section", "escapes", "too long"],
)
def test_a_huge_line_in_the_configuration_is_read_or_refused(folder, line):
    (folder / ".git" / "config").write_text(f'[remote "origin"]\nurl = a\n{line}\n')
    repository = find_repository(str(folder))
    if len(line) < 2**20:
        assert read_remote(repository) == "a"
    else:
        with pytest.raises(ValueError, match="config has more than 1,048,576 bytes"):
            read_remote(repository)
