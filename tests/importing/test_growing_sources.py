"""Sources that got more since they were imported: a second import adds it, once."""

import gzip
import os
import shutil
import sqlite3
from pathlib import Path

import pytest
from children import GUARD
from golden_runs import everything, import_as_foretold, points_of

import afnio_tellurio as te
from afnio_tellurio import copy_records
from afnio_tellurio.cli import main

GOLDEN = Path(__file__).parent.parent / "golden_imports"


class Growing:
    """A source whose runs have only a part of their values at first."""

    def __init__(self, kind, folder):
        self.folder = folder
        self._grow = getattr(self, f"_{kind}")()

    def grow(self):
        self._grow()

    def command(self, project="grown"):
        return ["import", str(self.folder), "--project", f"acme/{project}"]

    def _cut(self, sizes):
        """Cuts files, and returns what makes them whole."""
        whole = {file: file.read_bytes() for file in sizes}
        for file, size in sizes.items():
            file.write_bytes(whole[file][:size])

        def restore():
            for file, data in whole.items():
                file.write_bytes(data)

        return restore

    def _tensorboard(self):
        shutil.copytree(GOLDEN / "tensorboard" / "tensors", self.folder / "run")
        (file,) = (self.folder / "run").iterdir()
        return self._cut({file: file.stat().st_size - 80})

    def _wandb(self):
        for folder in (GOLDEN / "wandb").glob("offline-run-*"):
            shutil.copytree(folder, self.folder / folder.name)
        files = [*self.folder.glob("*first001/*.wandb"), *self.folder.glob("*media003/*.wandb")]
        return self._cut({file: file.stat().st_size * 2 // 3 for file in files})

    def _database(self, path, *statements):
        whole = path.with_suffix(".whole")
        shutil.copy(path, whole)
        with sqlite3.connect(path) as database:
            for statement in statements:
                database.execute(statement)
        return lambda: whole.replace(path)

    def _trackio(self):
        """Points of the system are read after the others, so the new ones are not the last."""
        shutil.copy(GOLDEN / "trackio" / "digits.db", self.folder / "digits.db")
        return self._database(
            self.folder / "digits.db",
            "DELETE FROM metrics WHERE id > (SELECT min(id) FROM metrics) AND id % 3 = 0 "
            "AND id > (SELECT max(id) / 2 FROM metrics)",
            "DELETE FROM metrics WHERE id > (SELECT max(id) / 2 FROM metrics)",
            "DELETE FROM system_metrics WHERE id > (SELECT max(id) / 2 FROM system_metrics)",
        )

    def _mlflow(self):
        """Values are read by their name, so the new ones are between the others."""
        data = (GOLDEN / "mlflow" / "mlflow.db.gz").read_bytes()
        (self.folder / "mlflow.db").write_bytes(gzip.decompress(data))
        return self._database(
            self.folder / "mlflow.db",
            "DELETE FROM metrics WHERE timestamp > (SELECT avg(timestamp) FROM metrics AS m "
            "WHERE m.run_uuid = metrics.run_uuid AND m.key = metrics.key)",
            "DELETE FROM params WHERE rowid % 2 = 0",
            "DELETE FROM tags WHERE key NOT LIKE 'mlflow.%'",
            "UPDATE runs SET status = 'RUNNING', end_time = NULL WHERE status = 'FINISHED'",
        )


@pytest.fixture(params=["tensorboard", "wandb", "trackio", "mlflow"])
def source(request, tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    return Growing(request.param, folder)


@pytest.fixture
def board(tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    return Growing("tensorboard", folder)


def details(project):
    return sorted(
        [
            run.name, run.config, run.tags, str(run.ended_because), str(run.date_ended),
            te.get_run("acme", project, run.uuid).environment["imported_from"],
        ]
        for run in te.runs("acme", project)
    )  # fmt: skip


@pytest.mark.usefixtures("server")
def test_what_a_source_got_since_is_added_once(source, capsys):
    assert main(source.command()) == 0
    part = everything("grown")
    source.grow()
    assert main(source.command("whole")) == 0
    assert everything("whole") != part
    capsys.readouterr()
    assert main([*source.command(), "--dry-run"]) == 0
    assert " would be imported" in capsys.readouterr().out
    assert everything("grown") == part
    assert " more values" in import_as_foretold(source.command(), capsys)
    assert everything("grown") == everything("whole")
    assert details("grown") == details("whole")
    assert main(source.command()) == 0
    out = capsys.readouterr().out
    assert "already imported" in out
    assert " more values" not in out
    assert everything("grown") == everything("whole")


@pytest.mark.parametrize("point", ["write_record", "update_run", "write_journal", "deliver"])
@pytest.mark.parametrize("is_delivered_by_sync", [False, True])
def test_a_killed_import_of_the_rest_is_continued(
    point, is_delivered_by_sync, tmp_path, server, start_python, capsys
):
    source = Growing("trackio", tmp_path)
    assert main(source.command()) == 0
    with sqlite3.connect(tmp_path / "digits.db") as part:
        rows = part.execute("SELECT * FROM metrics ORDER BY id").fetchall()
    # Another part of it, between the first and the whole.
    with sqlite3.connect(tmp_path / "digits.whole") as whole:
        more = whole.execute(
            "SELECT * FROM metrics WHERE id NOT IN (SELECT id FROM metrics ORDER BY id LIMIT ?) "
            "ORDER BY id LIMIT 5",
            (len(rows),),
        ).fetchall()
    marks = ", ".join("?" * len(more[0]))
    with sqlite3.connect(tmp_path / "digits.db") as part:
        part.executemany(f"INSERT OR IGNORE INTO metrics VALUES ({marks})", more)
    child = start_python(
        "-c",
        f"""
import os, signal
from afnio_tellurio import copying_runs
from afnio_tellurio.cli import main
owner = copying_runs.operations if {point!r} == "update_run" else copying_runs
real = getattr(owner, {point!r})
def killed(*arguments, **keywords):
    real(*arguments, **keywords)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(owner, {point!r}, killed)
main({source.command()!r})
""",
    )
    child.communicate(timeout=GUARD)
    assert child.returncode == -9
    if is_delivered_by_sync:
        te.sync()
    source.grow()
    import_as_foretold(source.command(), capsys)
    assert main(source.command("whole")) == 0
    assert everything("grown") == everything("whole")


@pytest.mark.usefixtures("server")
def test_a_source_that_has_changed_is_refused(tmp_path, capsys):
    source = Growing("trackio", tmp_path)
    assert main(source.command()) == 0
    before = everything("grown")
    source.grow()
    with sqlite3.connect(tmp_path / "digits.db") as database:
        database.execute("DELETE FROM metrics WHERE run_name = 'second'")
        database.execute(
            "UPDATE metrics SET timestamp = '2026-01-01T00:00:00' WHERE id IN "
            "(SELECT min(id) FROM metrics WHERE run_name = 'first')"
        )
    capsys.readouterr()
    assert main(source.command()) == 1
    assert "first: not imported: values that were copied before" in capsys.readouterr().err
    assert everything("grown") == before


@pytest.mark.usefixtures("server")
def test_a_run_that_is_open_again_is_left_alone(board, capsys):
    assert main(board.command()) == 0
    (run,) = te.runs("acme", "grown")
    board.grow()
    with te.init("acme", "grown", run.name, resume="must"):
        assert main(board.command()) == 1
        assert "was resumed at the target" in capsys.readouterr().err
    assert points_of(run)
    assert main(board.command()) == 0
    assert main(board.command("whole")) == 0
    assert everything("grown") == everything("whole")


@pytest.mark.usefixtures("server")
def test_two_at_once_do_it_once(board, home, capsys):
    assert main(board.command()) == 0
    (record,) = (home / "uploads").glob("*.json")
    board.grow()
    with copy_records.alone(record) as is_alone:
        assert is_alone
        assert main(board.command()) == 1
        assert "another process is copying it" in capsys.readouterr().err
    assert main(board.command()) == 0
    assert main(board.command("whole")) == 0
    assert everything("grown") == everything("whole")
    assert not list((home / "uploads").glob("*.copying"))


@pytest.mark.usefixtures("server")
def test_another_machine_does_not_guess(board, home, capsys):
    assert main(board.command()) == 0
    before = everything("grown")
    for record in (home / "uploads").iterdir():
        record.unlink()
    # It has all of it, and goes on from there.
    assert main(board.command()) == 0
    assert "already imported" in capsys.readouterr().out
    for record in (home / "uploads").iterdir():
        record.unlink()
    board.grow()
    assert main(board.command()) == 1
    assert "was copied from another machine" in capsys.readouterr().err
    assert everything("grown") == before


@pytest.mark.usefixtures("server")
def test_a_record_of_an_earlier_version_is_continued(board, home):
    assert main(board.command()) == 0
    (record,) = (home / "uploads").glob("*.json")
    copy = copy_records.read_record(record)
    copy.marks = copy.ended = copy.files = None
    copy_records.write_record(record, copy)
    assert main(board.command()) == 0
    board.grow()
    assert main(board.command()) == 0
    assert main(board.command("whole")) == 0
    assert everything("grown") == everything("whole")


@pytest.mark.usefixtures("server")
def test_only_new_and_changed_files_are_imported(tmp_path, capsys):
    (golden,) = (GOLDEN / "wandb").glob("*-media003")
    folder = shutil.copytree(golden, tmp_path / golden.name)
    command = ["import", str(folder), "--project", "acme/files"]
    assert main(command) == 0
    (run,) = te.runs("acme", "files")
    before = {(file.path, file.step): file.digest for file in run.files()}
    (folder / "files" / "new.txt").write_text("new")
    (folder / "files" / "requirements.txt").write_text("changed")
    os.utime(folder / "files" / "requirements.txt", (1, 1))
    assert "0 more values and 2 files imported" in import_as_foretold(command, capsys)
    assert main(command) == 0
    assert "already imported" in capsys.readouterr().out
    after = {(file.path, file.step): file.digest for file in run.files()}
    assert {key for key in after if after[key] != before.get(key)} == {
        ("new.txt", None),
        ("requirements.txt", None),
    }
    assert run.open_file("requirements.txt").read() == b"changed"
