"""The README is short, its figures are the measured ones, and its links work."""

import re

import pytest
from benchmark_results import figure
from code_blocks import PAGES, ROOT

import afnio_tellurio as te

README = PAGES["README.md"]
LINES = README.splitlines()
#: Each claim in the README's words; its figures come from benchmarks/RESULTS.md.
CLAIMS = [
    (
        "Killed with SIGKILL right after 5,000 logs: {} lost, {} duplicated (trackio loses {}, wandb {}).",
        ("crash", "afnio_tellurio", "lost, median"),
        ("crash", "afnio_tellurio", "doubled, most"),
        ("crash", "trackio", "lost, median"),
        ("crash", "wandb", "lost, median"),
    ),
    (
        "`log` takes {} µs at the median (trackio {}, wandb {}, mlflow {})",
        *(
            ("latency-of-log", tool, "p50, µs")
            for tool in ("afnio_tellurio", "trackio", "wandb", "mlflow")
        ),
    ),
    (
        "{} MiB and {} packages (wandb {} MiB, trackio {}, mlflow {}).",
        ("installed-size", "afnio_tellurio", "MiB"),
        ("installed-size", "afnio_tellurio", "packages"),
        *(("installed-size", tool, "MiB") for tool in ("wandb", "trackio", "mlflow")),
    ),
    (
        "The first metric is logged {} ms after the process starts (wandb {} ms).",
        *(
            ("latency-of-log", tool, "start to first log, ms")
            for tool in ("afnio_tellurio", "wandb")
        ),
    ),
    (
        "A process that logs 100,000 metrics peaks at {} MiB (trackio {} MiB).",
        *(
            ("end-to-end", f"{tool} | 100,000", "peak memory, MiB")
            for tool in ("afnio_tellurio", "trackio")
        ),
    ),
    (
        "The page shows 1,000 runs in {} ms, and a curve of 1,000,000 points in {} ms.",
        ("the-page", "first view: 1,000 runs, with their metrics, ms", "median"),
        ("the-page", "first view: a run with 1,000,000 points, ms", "median"),
    ),
]


@pytest.mark.parametrize(("claim", "sources"), [(claim, rest) for claim, *rest in CLAIMS])
def test_a_claim_has_the_figures_that_were_measured(claim, sources):
    prose = " ".join(README.split())
    assert claim.format(*(figure(*source) for source in sources)) in prose


def test_every_bullet_is_a_claim_that_is_held():
    bullets = re.findall(r"^- \*\*", README, re.MULTILINE)
    assert len(bullets) == len(CLAIMS)


def test_it_is_short():
    assert len(LINES) <= 100
    assert [
        line for line in LINES if len(line) > 100 and not line.startswith(("|", "<!--", "!"))
    ] == []


@pytest.mark.parametrize("name", PAGES)
def test_every_link_leads_to_a_file(name):
    folder = (ROOT / name).parent
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)[^)]*\)", PAGES[name])
    assert [target for target in targets if not (folder / target).exists()] == []


@pytest.mark.parametrize("name", PAGES)
def test_every_name_of_the_package_exists(name):
    # A patch may add a name.
    text = re.sub(r"^```diff\n.*?^```$", "", PAGES[name], flags=re.DOTALL | re.MULTILINE)
    names = set(re.findall(r"\bte\.(\w+)", text))
    assert names - set(te.__all__) == set()


def test_every_script_named_can_be_executed():
    for page in PAGES.values():
        for script in re.findall(r"scripts/\w+\.sh", page):
            assert (ROOT / script).stat().st_mode & 0o111, script
