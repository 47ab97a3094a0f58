"""Programs written for afnio 0.3.7 run after one changed import."""

import json

import pytest
from children import complaints

import afnio_tellurio as te

#: The first program of afnio's own documentation, from its package, with one changed import.
QUICKSTART = """
import re
from importlib import metadata

text = metadata.metadata("afnio").get_payload()
(program,) = re.findall(r"````python\\n(import json.*?)````", text, re.DOTALL)
before = "import afnio.tellurio as te\\n"
assert program.count(before) == 1
program = program.replace(before, "import afnio_tellurio as te\\n")
exec(compile(program, "quickstart.py", "exec"))
"""


@pytest.fixture
def data(tmp_path):
    """Places our own nine messages where afnio's dataset looks before it downloads."""
    sentiments = ["positive", "neutral", "negative"] * 3
    examples = [
        {
            "fields": {"input": f"message {number}, {sentiment}"},
            "answer": json.dumps({"urgency": "low", "sentiment": sentiment, "categories": {}}),
        }
        for number, sentiment in enumerate(sentiments)
    ]
    folder = tmp_path / "data" / "FacilitySupport" / "raw"
    folder.mkdir(parents=True)
    for name in ("dataset", "dataset.json"):
        (folder / name).write_text(json.dumps(examples))


def test_the_quickstart_of_afnio(platform, run_afnio, data):
    done = run_afnio(QUICKSTART, **platform.variables)
    assert done.returncode == 0, done.stderr
    assert complaints(done.stderr) == ""
    print(done.stdout[-500:])
    print(platform.calls)
    assert 0
