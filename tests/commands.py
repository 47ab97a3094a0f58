"""The commands, read from their parser."""

from __future__ import annotations

import argparse
import re
import shlex

from afnio_tellurio.cli.commands import _parser


def _every_command(parser, before=""):
    """The parsers of all commands, and of the commands of commands such as `artifact show`."""
    commands = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, each in action.choices.items():
                commands |= _every_command(each, f"{before}{name} ") or {before + name: each}
    return commands


#: The parser of each command, by its name.
COMMANDS = _every_command(_parser())
#: These run until they are stopped.
LASTING = {"serve"}
#: These do not call a backend, or report whether one is reachable.
ASKING_NO_BACKEND = {"serve", "completion", "logout", "status", "gc", "du"}
ASKING = sorted(set(COMMANDS) - ASKING_NO_BACKEND)


def examples_of(name):
    """The example command lines in a command's help."""
    help_text = COMMANDS[name].format_help()
    return re.findall(r"^example: (afnio-tellurio .+)$", help_text, re.MULTILINE)


def arguments_of(name, url="http://127.0.0.1:9"):
    """The arguments of a command's first example, changed so that it cannot reach the real platform."""
    example = examples_of(name)[0].replace("https://platform.tellurio.ai", url)
    return shlex.split(example)[1:]


def takes(name, *, option=None, metavar=None):
    """Whether a command has an option or an argument with this name."""
    return any(
        option in action.option_strings if option else action.metavar == metavar
        for action in COMMANDS[name]._actions
    )
