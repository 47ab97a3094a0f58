"""Exit hooks of the program that log, or that close what a run needs, each in a real process."""

import pytest

import afnio_tellurio as te


@pytest.fixture(autouse=True)
def local(monkeypatch):
    monkeypatch.setenv("TELLURIO_MODE", "local")


def recorded():
    (run,) = te.runs("acme", "Digits")
    assert te.list_metrics("acme", "Digits") == ["loss"]
    assert run.metrics("loss").values == [0.5]
    return run.status


@pytest.mark.parametrize("log", ["run.log", "te.log"])
def test_a_hook_registered_after_init_logs_and_may_finish(run_python, log):
    finished = run_python(
        f"""
        import atexit
        import afnio_tellurio as te
        run = te.init("acme", "Digits", "test_run")
        def report():
            {log}("loss", 0.5)
            print(run.finish())
        atexit.register(report)
        """
    )
    assert (finished.returncode, recorded()) == (0, "COMPLETED"), finished.stderr
    assert "accepted=1, waiting=0" in finished.stdout


def test_a_hook_registered_before_init_finds_the_run_ended_and_learns_why(run_python):
    finished = run_python(
        """
        import atexit
        atexit.register(lambda: run.log("late", 1))
        import afnio_tellurio as te
        run = te.init("acme", "Digits", "test_run")
        run.log("loss", 0.5)
        """
    )
    assert (finished.returncode, recorded()) == (0, "COMPLETED"), finished.stderr
    assert (
        "RunFinishedError: log: run 'test_run' is finished (COMPLETED); "
        "the process is exiting: register an exit hook that logs after init"
    ) in finished.stderr


def test_what_was_opened_before_init_is_closed_after_the_end_of_the_run(run_python):
    finished = run_python(
        """
        import atexit
        def close():
            (run,) = te.runs("acme", "Digits")
            print(run.status, run.metrics("loss").values)
        atexit.register(close)
        import afnio_tellurio as te
        te.init("acme", "Digits", "test_run").log("loss", 0.5)
        """
    )
    assert (finished.returncode, finished.stdout) == (0, "COMPLETED [0.5]\n"), finished.stderr
