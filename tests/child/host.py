"""Forks a process for each program that it reads, after it has imported the SDK once.

Its arguments are further modules to import.

A line of stdin holds a program and its environment; a line of stdout returns its exit status. The
forked process leaves the loop and runs the program at the top level, so the interpreter ends as
it ends any program's.
"""

import faulthandler
import gc
import importlib
import json
import os
import signal
import sys
from contextlib import suppress

import exchanges
import measuring

import afnio_tellurio as te
import afnio_tellurio.backend
import afnio_tellurio.cli.commands

with suppress(ImportError):
    # For the programs whose coverage is measured.
    import coverage  # noqa: F401

for _module in sys.argv[1:]:
    importlib.import_module(_module)
# They are imported when they are first used.
te.init, te.TellurioClient, te.runs, te.DeliveryError  # noqa: B018
# Otherwise each process would copy all this memory when its interpreter ends.
gc.collect()
gc.freeze()

# A program that hangs shows where.
faulthandler.register(signal.SIGVTALRM, file=2)
for _line in sys.stdin:
    _pid = os.fork()
    if _pid == 0:
        break
    print(os.waitstatus_to_exitcode(os.waitpid(_pid, 0)[1]), flush=True)
else:
    os._exit(0)

_request = json.loads(_line)
os.chdir(_request["folder"])
os.environ.clear()
os.environ.update(_request["environment"])
exchanges._may_depart[:] = [side for side in os.environ[exchanges.MAY_DEPART].split(",") if side]
for _number, _path in enumerate((os.devnull, _request["out"], _request["err"])):
    _file = os.open(_path, os.O_RDWR)
    os.dup2(_file, _number)
    os.close(_file)
sys.argv[:] = ["-c"]
if "COVERAGE_PROCESS_CONFIG" in os.environ:
    measuring.start()
exec(compile(_request["program"], "<string>", "exec"), {"__name__": "__main__"})
