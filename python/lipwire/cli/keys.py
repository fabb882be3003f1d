"""`lipwire key`: API keys of several owners, as digests in a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from ..app.config import load
from ..errors import InvalidArgument
from ..provider.keys import MIN_RATE, Quota, add_key, check_keys, key_line, make_key, remove_keys
from .options import ConfigFile, out

app = typer.Typer(help="API keys of several owners (api_keys_file).", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Whose: letters, digits, '.', '_' and '-'.")]
KeyFile = Annotated[Path | None, typer.Option("--file", help="The file (default: the setting api_keys_file).")]


def _place(file: Path | None, config: Path | None) -> Path:
    place = file or load(environment=os.environ, path=config).api_keys_file
    if place is None:
        raise InvalidArgument("which file? --file PATH, or the setting api_keys_file (LIPWIRE_API_KEYS_FILE)")
    return Path(place)


@app.command()
def new(
    name: Name,
    file: KeyFile = None,
    config: ConfigFile = None,
    sessions: Annotated[int | None, typer.Option(min=0, help="Sessions that it may have at a time; 0 = none.")] = None,
    pixel_rate: Annotated[
        int | None, typer.Option(min=0, help="Pixels a second of all of them together; 0 = none.")
    ] = None,
    agents: Annotated[int | None, typer.Option(min=0, help="Agents; 0 = none.")] = None,
    rooms: Annotated[int | None, typer.Option(min=0, help="Rooms; 0 = none.")] = None,
    request_rate: Annotated[float | None, typer.Option(min=MIN_RATE, help="Requests a second.")] = None,
    films_mb: Annotated[int | None, typer.Option(min=0, help="MiB of all its films; 0 = none.")] = None,
) -> None:
    """Make a key, print it this once, and add its digest to the file. A running server takes it within a second."""
    given = {
        "sessions": sessions,
        "pixel_rate": pixel_rate,
        "agents": agents,
        "rooms": rooms,
        "request_rate": request_rate,
        "films_mb": films_mb,
    }
    key = make_key()
    line = key_line(name, key, {field: value for field, value in given.items() if value is not None})
    add_key(_place(file, config), line)
    print(key)


@app.command("list")
def list_keys(file: KeyFile = None, config: ConfigFile = None) -> None:
    """Print the owners in the file, how many keys each has, and what it may have besides the settings."""
    place = _place(file, config)
    try:
        owners = list(check_keys(place, place.read_text(encoding="utf-8")).values())
    except (OSError, UnicodeDecodeError) as exc:
        raise InvalidArgument(f"{place} cannot be read: {exc}") from exc
    for owner in dict.fromkeys(owners):
        count = owners.count(owner)
        own = [(field, getattr(owner.quota, field)) for field in Quota.__struct_fields__]
        shown = [f"{field}={value}" for field, value in own if value is not None]
        out.print(f"{owner.name}  {count} key{'s' if count > 1 else ''}  {' '.join(shown)}".rstrip(), markup=False)


@app.command()
def remove(name: Name, file: KeyFile = None, config: ConfigFile = None) -> None:
    """Take every key of an owner out of the file. A running server refuses them, and their tokens, within a second."""
    count = remove_keys(_place(file, config), name)
    if count == 0:
        raise InvalidArgument(f"there is no key of {name}")
    out.print(f"{count} key{'s' if count > 1 else ''} of {name} removed", markup=False)
