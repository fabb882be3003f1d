"""The `lipwire` command."""

import importlib.util
import sys

for _name in ("typer", "rich"):
    if importlib.util.find_spec(_name) is None:
        sys.exit(f"the lipwire command needs {_name}: pip install 'lipwire[cli]'")
