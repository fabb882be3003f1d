"""`lipwire avatar`: make, check and look at avatars."""

from __future__ import annotations

import functools
import zipfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeVar

import typer

from ..audio import espeak
from ..avatar import DEFAULT, Avatar, Voice
from ..avatar.builtin import BUILTIN
from ..avatar.source import MANIFEST
from ..errors import InvalidArgument, LipwireError
from .options import Fps, Size, err, out, parse_size
from .progress import ProgressBar

app = typer.Typer(
    help="""Avatars: faces drawn by Lipwire, and artwork of your own: a folder or zip of PNG layers and avatar.toml.

    Wherever a command takes --avatar, it takes the name of a built-in avatar or a path.
    """,
    no_args_is_help=True,
)
Author = Annotated[str, typer.Option(help="Who made the artwork, for avatar.toml.")]


def _watched(progress: ProgressBar, what: str) -> Callable[[float, float], None]:
    task = progress.add_task(what, total=None)
    return lambda done, total: progress.update(task, completed=done, total=total)


def _say(text: str, **options: Any) -> None:
    out.print(text, markup=False, soft_wrap=True, **options)


P = ParamSpec("P")
T = TypeVar("T")


def needs_pillow(command: Callable[P, T]) -> Callable[P, T]:
    """Says what to install before anything else happens."""

    @functools.wraps(command)
    def checked(*args: P.args, **kwargs: P.kwargs) -> T:
        from ..avatar.artwork import need_pillow

        need_pillow()
        return command(*args, **kwargs)

    return checked


@app.command("list")
def list_avatars(
    folder: Annotated[Path, typer.Argument(help="Where to look for artwork, besides the built-in avatars.")] = Path(
        "."
    ),
) -> None:
    """Name the built-in avatars, and the ones in a folder."""
    for name in BUILTIN:
        _say(f"{name}  (built in{', the default' if name == DEFAULT else ''})")
    if not folder.is_dir():
        raise InvalidArgument(f"{folder}: no such folder")
    found = [path for path in sorted(folder.iterdir()) if (path / MANIFEST).is_file()]
    archives = [path for path in sorted(folder.glob("*.[zZ][iI][pP]")) if _holds_avatar(path)]
    for path in [folder] * (folder / MANIFEST).is_file() + found + archives:
        _say(f"{path}{_faults(path)}")


def _holds_avatar(path: Path) -> bool:
    """Whether an archive, which may be anybody's, has an avatar.toml, good or bad."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.replace("\\", "/").rpartition("/")[2] == MANIFEST for name in archive.namelist())
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        return False


def _faults(path: Path) -> str:
    """How many faults an avatar has, and how to see them; nothing for a good one, or without Pillow."""
    from ..avatar.artwork import MissingPillow, examine

    try:
        faults = examine(path)[2]
    except MissingPillow:
        return ""
    return f"  ({_counted(len(faults))}: lipwire avatar check {path})" if faults else ""


def _counted(faults: int) -> str:
    return f"{faults} fault{'s' * (faults > 1)}"


@app.command()
@needs_pillow
def new(
    folder: Annotated[Path, typer.Argument(help="The folder to make.")],
    like: Annotated[str, typer.Option(help=f"The avatar to copy: {', '.join(BUILTIN)}.")] = "ohm",
    size: Size = "1280x720",
    author: Author = "",
) -> None:
    """Write a working template: a built-in avatar as PNG layers and an avatar.toml, to be replaced piece by piece."""
    from ..avatar.make import write_template

    if like not in BUILTIN:
        raise InvalidArgument(f"--like {like}: there is {', '.join(BUILTIN)}")
    avatar, (width, height) = Avatar.load(like), parse_size(size)
    with err.status("drawing"):
        avatar.at(width, height)  # refuses a size that is out of range
        files = write_template(avatar.art(width, height), folder, author)
    _say(f"{folder}: {files} files. Next: lipwire avatar check {folder} && lipwire avatar preview {folder}")


@app.command()
@needs_pillow
def check(path: Annotated[Path, typer.Argument(help="A folder with avatar.toml, or a zip of one.")]) -> None:
    """Name every fault of an avatar with its file and line, and what is left to do; exit code 1 if there is a fault."""
    from ..avatar.artwork import examine

    with ProgressBar(err, "{task.percentage:.0f} %") as progress:
        manifest, images, faults = examine(path, _watched(progress, "reading"))
    for fault in faults:
        _say(str(fault))
    if faults:
        err.print(_counted(len(faults)), style="bold red")
        raise typer.Exit(1)
    assert manifest is not None
    if manifest.voice.espeak and espeak.available() and not espeak.known(manifest.voice.for_espeak()):
        _say(f"{MANIFEST}: espeak-ng has no voice {manifest.voice.espeak!r}; say en-us+f3, or +f3 for any language")
        raise typer.Exit(1)
    if manifest.voice.offline and (wrong := _voice_fault(manifest.voice.beside(path))) is not None:
        _say(f"{MANIFEST}: {wrong}")
        raise typer.Exit(1)
    what = (
        f"{manifest.name}, {manifest.size[0]} x {manifest.size[1]}, {len(manifest.layers)} layers, {len(images)} images"
    )
    if manifest.licensed:
        _say(f"{path}: good. {what}, licence: {manifest.license}")
        return
    _say(f"{path}: it works, and is not finished. {what}")
    _say(f"{MANIFEST}:{manifest.license_line}: the licence of the artwork is still to be stated: `license`")


def _voice_fault(voice: Voice) -> str | None:
    """What is wrong with the voice of this machine that an avatar names; a voice that is only not installed is not."""
    from ..models.voices.choose import choose

    try:
        choose(None, voice)
    except InvalidArgument as exc:
        return str(exc)
    except LipwireError:
        return None
    return None


@app.command()
@needs_pillow
def preview(
    avatar: Annotated[str, typer.Argument(help=f"A name ({', '.join(BUILTIN)}) or a path.")],
    folder: Annotated[Path, typer.Option("--out", help="Where the files go; the folder is made.")] = Path("."),
    size: Size = "1280x720",
    video: Annotated[bool, typer.Option(help="Write the film, too (needs a voice).")] = True,
    text: Annotated[str | None, typer.Option(help="What the avatar says in the film.")] = None,
) -> None:
    """Write a contact sheet (PNG) of all visemes, expressions, states and gestures, and a short film (MP4)."""
    from .avatar_sheet import contact_sheet, film, reduced

    face, (width, height) = Avatar.load(avatar), parse_size(size)
    folder.mkdir(parents=True, exist_ok=True)
    stem = "".join(c if c.isalnum() or c in "-_" else "-" for c in face.name)
    with ProgressBar(err, "{task.percentage:.0f} %") as progress:
        sheet = contact_sheet(face, width, height, _watched(progress, "contact sheet"))
        picture = folder / f"{stem}.png"
        reduced(sheet).save(picture, optimize=True)
        _say(str(picture))
        if video:
            movie = folder / f"{stem}.mp4"
            film(face, movie, width, height, text, _watched(progress, "film"))
            _say(str(movie))


@app.command()
def preencode(
    avatar: Annotated[str, typer.Argument(help=f"A name ({', '.join(BUILTIN)}) or a path.")],
    size: Size = "640x360",
    fps: Fps = Fraction(25),
    quality: Annotated[str, typer.Option(help="low, medium or high.")] = "high",
    jobs: Annotated[int, typer.Option(help="Threads that encode, which give way to all other work.", min=1)] = 1,
    force: Annotated[bool, typer.Option("--force", help="Make it anew, even if it is there.")] = False,
) -> None:
    """Encode an avatar's video once, so that sessions assemble it instead of encoding (needs espeak-ng)."""
    from ..atlas import ensure, path_of, report

    face, (width, height) = Avatar.load(avatar), parse_size(size)
    with ProgressBar(err, "{task.percentage:.0f} %") as progress:
        task = progress.add_task("pre-encoding", total=1.0)
        atlas = ensure(
            face,
            width,
            height,
            fps,
            lambda done: progress.update(task, completed=done),
            quality=quality,
            jobs=jobs,
            force=force,
        )
    made = report(atlas)
    _say(str(path_of(face, width, height, fps, quality)))
    _say(
        f"{atlas.nbytes / 1e6:.1f} MB, made in {made.seconds:.0f} s: {made.nodes} nodes at {made.places} places, "
        f"{made.slices} slices at quantizer {made.quantizer}, {made.moves} of them P"
    )
    variants = ", ".join(f"{n} of the {part}" for part, n in made.variants.items())
    _say(f"stripes, with their rows: {', '.join(made.stripes)}; variants: {variants}")
    _say(f"speech: {made.psnr:.1f} dB against the drawing, colours {made.chroma:.1f} dB, {made.kbps:.0f} kbit/s")


@app.command("import")
@needs_pillow
def import_mouths(
    mouths: Annotated[
        Path, typer.Argument(help="A folder of PNG files: A B C D E F (G H X), or named by OVR visemes.")
    ],
    folder: Annotated[Path, typer.Argument(help="The avatar to make.")],
    base: Annotated[Path | None, typer.Option(help="A PNG file of the face without a mouth.")] = None,
    at: Annotated[
        str | None, typer.Option(help="Where the mouths' top left corner lies in it, X,Y (default: amid).")
    ] = None,
    author: Author = "",
) -> None:
    """Make an avatar of a mouth set: Rhubarb's A B C D E F G H X, or one PNG for each of the 15 OVR visemes."""
    from ..avatar.make import import_mouths as make

    place = None
    if at is not None:
        try:
            x, y = (float(part) for part in at.split(","))
        except ValueError:
            raise InvalidArgument(f"--at {at}: write it as X,Y, say 310,420") from None
        place = x, y
    count = make(mouths, folder, base, place, author)
    _say(f"{folder}: {count} mouth shapes. Next: lipwire avatar preview {folder}")
