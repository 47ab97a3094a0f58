"""Bundles that tests change."""

import json
import zipfile


def changed(source, target, change, compression=zipfile.ZIP_STORED):
    """Writes a copy of a bundle whose members a function changed: `change(members)`."""
    with zipfile.ZipFile(source) as bundle:
        members = [(name, bundle.read(name)) for name in bundle.namelist()]
    members = change(dict(members)) or members
    if isinstance(members, dict):
        members = list(members.items())
    with zipfile.ZipFile(target, "w", compression) as bundle:
        for name, data in members:
            bundle.writestr(zipfile.ZipInfo(name), data, compression)
    return target


def with_run(members, **fields):
    """The members with other fields in `run.json`."""
    return members | {"run.json": json.dumps(json.loads(members["run.json"]) | fields).encode()}
