"""The values of configs as columns."""

from afnio_tellurio.filters.matching import columns_of


def test_each_path_is_a_column_and_configs_that_lack_it_have_none():
    configs = [
        {"lr": 1, "optim": {"name": "adam", "inner": {"x": [1]}}},
        {},
        {"optim": {}, "lr": None, "a.b": 2},
        {"optim": "none", "a": {"b": 3}, "seed": None},
    ]
    columns = columns_of(configs)
    assert columns == {
        ("a", "b"): [None, None, None, 3],
        ("a.b",): [None, None, 2, None],
        ("lr",): [1, None, None, None],
        ("optim",): [None, None, {}, "none"],
        ("optim", "inner", "x"): [[1], None, None, None],
        ("optim", "name"): ["adam", None, None, None],
        ("seed",): [None, None, None, None],
    }
    assert list(columns) == sorted(columns)
    assert columns_of([]) == columns_of([{}, {}]) == {}
