"""The greatest value that `log` accepts is delivered; a larger one is refused at the call."""

import msgspec
import pytest

import afnio_tellurio as te
from afnio_tellurio.settings.limits import MAX_VALUE_BYTES

#: Values of a number of bytes as JSON: quotes take two, a control character
#: six, an "ö" two, and 1e22 four.
KINDS = {
    "letters": lambda size: "x" * (size - 2),
    "quotes": lambda size: '"' * (size // 2 - 1),
    "control characters": lambda size: "\x01" * (size // 6 - 1) + "x" * (size % 6 + 4),
    "letters that are not ASCII": lambda size: "ö" * (size // 2 - 1),
    "a list": lambda size: ["x" * (size - 4)],
    "a list of numbers": lambda size: [1e22] * (size // 5 - 1) + [int("1" * (size % 5 + 3))],
    "an object": lambda size: {"a": "x" * (size - 8)},
}


@pytest.fixture(autouse=True)
def local(monkeypatch):
    monkeypatch.setenv("TELLURIO_MODE", "local")


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_value_of_the_greatest_size_is_delivered_and_a_larger_one_refused(kind):
    greatest, too_large = KINDS[kind](MAX_VALUE_BYTES), KINDS[kind](MAX_VALUE_BYTES + 2)
    assert len(msgspec.json.encode(greatest)) == MAX_VALUE_BYTES
    # Each of its characters but the last takes six bytes.
    name = "\x01" * 254 + "x"
    run = te.init("acme", "Digits")
    with pytest.raises(ValueError, match=r"log: the value of 'a' has 8,000,002 bytes as JSON"):
        run.log("a", too_large)
    with pytest.raises(
        ValueError, match=r"log_metrics: the value of 'a' has .* to 8,000,000\. Log"
    ):
        run.log_metrics({"b": 1, "a": too_large})
    run.log(name, greatest)
    run.log("b", 1)
    assert run.flush() == te.DeliveryReceipt(accepted=2, waiting=0, rejected=0)
    assert run.metrics(name).values == [greatest]
