"""What an installation adds to an empty environment: MiB and packages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from environments import OURS, empty_environment, environment_of, options
from processes import bytes_below
from results import Target, figure, table, write_section

if TYPE_CHECKING:
    from pathlib import Path

TARGETS = [Target("base install", 25, "MiB"), Target("packages", 20, "")]


def main() -> None:
    chosen = options(__doc__, rounds=1).parse_args()
    empty = of_environment(empty_environment())
    sizes: dict[str, list[float]] = {}
    for tool in chosen.tools:
        full = of_environment(environment_of(tool))
        sizes[tool.name] = [after - before for after, before in zip(full, empty, strict=True)]
    write_section(
        chosen.results,
        "Installed size",
        chosen.tools,
        "What `pip install` of the tool, without extras, adds to an empty environment, compiled "
        "modules included; the tool itself counts as a package.",
        table(
            ["tool", "MiB", "packages"],
            [[name, figure(mib), figure(packages)] for name, (mib, packages) in sizes.items()],
        ),
        "\n".join(
            target.verdict(size) for target, size in zip(TARGETS, sizes[OURS.name], strict=True)
        ),
    )


def of_environment(folder: Path) -> tuple[float, float]:
    """The MiB and the number of packages of an environment."""
    packages = len(list(folder.glob("lib/python*/site-packages/*.dist-info")))
    return bytes_below(folder) / 2**20, packages


if __name__ == "__main__":
    main()
