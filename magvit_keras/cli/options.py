"""What the commands share: options of the data, and answers to bad input."""

import pathlib
import re
from typing import Annotated

import typer

Format = Annotated[str, typer.Option("--format", help="What the data is: folder, ucf101, bair, web, ...")]
Reader = Annotated[
    list[str] | None,
    typer.Option("--reader", help="An argument of the format's reader, as split=test; may be given several times."),
]
Distribution = Annotated[
    str,
    typer.Option(
        "--distribution",
        help="Devices: none (one), data (all, each a part of a batch), model (JAX: shared weights too).",
    ),
]
Recipe = Annotated[
    str | None, typer.Option(help="A row of the paper, see `magvit-keras recipes`; it says what the options do not.")
]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", help="With --recipe: another value, as filters=32; may be given several times."),
]
Size = Annotated[str, typer.Option(help="Height and width of the clips in pixels, as HxW or one number.")]


class errors_in_one_line:
    """Bad input is answered in a line, not in a traceback."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, ValueError | FileNotFoundError | NotADirectoryError | ImportError):
            typer.echo(f"magvit-keras: {_without_wrapping(str(error))}", err=True)
            raise typer.Exit(2)


def _without_wrapping(message: str) -> str:
    """The message of an error that was raised in a layer, without what Keras writes around it."""
    wrapped = re.search(
        r"Exception encountered when calling .*?\n\n\x1b\[1m(.*?)\x1b\[0m\n\nArguments received", message, re.S
    )
    return wrapped.group(1) if wrapped else message


def open_data(
    name: str,
    data: pathlib.Path,
    options: list[str] | None,
    frames: int,
    size: tuple[int, int],
    stride: int,
    flip: bool,
    seed: int,
) -> object:
    """The reader of a format."""
    from magvit_keras.data import open_source

    clips = {"num_frames": frames, "size": size, "frame_stride": stride, "horizontal_flip": flip, "seed": seed}
    return open_source(name, data, **{**clips, **reader_options(options)})


def reader_options(options: list[str] | None) -> dict[str, str | int]:
    """`["split=test", "fold=1"]` as a dict; numbers are taken as such."""
    given = {}
    for option in options or ():
        key, equals, value = option.partition("=")
        if not (key and equals):
            raise ValueError(f"--reader must be name=value, for example split=test; received {option!r}.")
        given[key] = int(value) if value.isdecimal() else value
    return given


def parse_process(text: str) -> tuple[int, int]:
    """`0/4` as (index, count)."""
    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal()):
        raise ValueError(f"--process must be a number out of a count, for example 0/4; received {text!r}.")
    return int(index), int(count)


def given_options(context: typer.Context) -> dict[str, str]:
    """Name of each parameter that was given on the command line -> its option."""
    return {
        parameter.name: parameter.opts[0]
        for parameter in context.command.params
        # By name: newer versions of typer have a ParameterSource of their own.
        if getattr(context.get_parameter_source(parameter.name), "name", None) == "COMMANDLINE"
    }


def refuse(given: dict[str, str], allowed: set[str], why: str) -> None:
    """Raises ValueError where an option was given that is not allowed; the message names them all."""
    wrong = [option for name, option in given.items() if name not in allowed]
    if wrong:
        raise ValueError(f"{', '.join(wrong)}: {why}")


def parse_size(text: str) -> tuple[int, int]:
    """`HxW`, or one number for squares, as (height, width)."""
    parts = text.lower().split("x")
    if len(parts) not in (1, 2) or not all(part.isdigit() for part in parts):
        raise ValueError(f"--size must be HxW or one number, for example 64x64; received {text!r}.")
    return int(parts[0]), int(parts[-1])
