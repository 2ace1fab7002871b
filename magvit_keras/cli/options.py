"""What the commands share: options of the data, and answers to bad input."""

import json
import pathlib
import re
import warnings
from collections.abc import Iterable
from typing import Annotated, Any

import typer

Format = Annotated[
    str,
    typer.Option(
        "--format",
        help="What the data is, by default the recipe's, or: folder. Also ucf101, ucf101_tfds, bair, kinetics600, "
        "ssv2, nuscenes, objectron, moving_mnist, tfds, web.",
    ),
]
Reader = Annotated[
    list[str] | None,
    typer.Option("--reader", help="An argument of the format's reader, as split=test; may be given several times."),
]
_POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}


def set_precision(name: str | None) -> None:
    """Sets Keras' precision; to be called before models are made."""
    if name is not None:
        import keras

        keras.config.set_dtype_policy(_POLICIES[name])


def _one_of(known: Iterable[str]) -> Any:
    """A callback of an option that refuses other names, before Keras is loaded."""

    def check(value: str | None) -> str | None:
        if value is not None and value not in known:
            raise typer.BadParameter(f"expected one of {', '.join(known)}; received {value!r}.")
        return value

    return check


Distribution = Annotated[
    str,
    typer.Option(
        "--distribution",
        callback=_one_of(("none", "data", "model")),
        help="Devices: none (one), data (all, each a part of a batch), model (JAX: shared weights too).",
    ),
]
Precision = Annotated[
    str | None,
    typer.Option(
        callback=_one_of(_POLICIES),
        help="float32, or bfloat16: faster on TPUs and newer GPUs; weights, losses and softmax stay in float32.",
    ),
]
Process = Annotated[
    str | None,
    typer.Option(help="Which of several processes this is, as 0/4; they share --out. Told by torchrun and srun."),
]
Recipe = Annotated[
    str | None, typer.Option(help="A row of the paper, see `magvit-keras recipes`; it says what the options do not.")
]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="Another value of the recipe, as filters=32 or transformer=base; may be given several times."
    ),
]
Size = Annotated[str, typer.Option(help="Height and width of the clips in pixels, as HxW or one number.")]


class errors_in_one_line:
    """Bad input is answered in a line, not in a traceback; the library's own warnings come without source lines."""

    def __init__(self, context: typer.Context | None = None):
        parameters = context.command.params if context else ()
        self._options = {parameter.name: parameter.opts[-1] for parameter in parameters}

    def __enter__(self) -> None:
        self._format = warnings.formatwarning
        warnings.formatwarning = self._plain

    def _plain(self, message: Warning | str, category: type[Warning], *where: Any, **line: Any) -> str:
        if category.__module__.startswith("magvit_keras."):
            return f"magvit-keras: {message}\n"
        return self._format(message, category, *where, **line)

    def __exit__(self, kind: type | None, error: BaseException | None, _: object) -> None:
        warnings.formatwarning = self._format
        # OSError: no such file, no access, a full disk, no answer of the hub.
        if isinstance(error, ValueError | OSError | ImportError):
            typer.echo(f"magvit-keras: {self._in_options(_without_wrapping(str(error)))}", err=True)
            raise typer.Exit(2)

    def _in_options(self, message: str) -> str:
        """The message with the arguments that it names, `data_format` or batch_size=3, as options."""
        names = list(self._options) or ["^$"]
        snakes = [name for name in names if "_" in name] or ["^$"]
        named = rf"`({'|'.join(names)})`|(?<![\w.-])({'|'.join(snakes)})(?==| must be)"
        return re.sub(named, lambda match: self._options[match[1] or match[2]], message)


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


def reader_options(options: list[str] | None) -> dict[str, Any]:
    """`["split=test", "fold=1"]` as a dict, see `named_values`."""
    return named_values("--reader", options or (), "split=test")


def named_values(option: str, texts: Iterable[str], example: str) -> dict[str, Any]:
    """`["filters=32", "video_shape=[4,16,16]"]` as a dict; values are JSON, and else text.

    Raises:
        ValueError: a text without `=`, or a name given twice.
    """
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise ValueError(f"{option} must be name=value, for example {example}; received {text!r}.")
        if name in values:
            raise ValueError(f"{option} names {name} twice.")
        try:
            values[name] = json.loads(value)
        except ValueError:
            values[name] = value
    return values


def name_or_json(text: str) -> str | dict[str, Any]:
    """The text, or what the JSON file of that name holds."""
    path = pathlib.Path(text)
    if path.suffix != ".json":
        return text
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f'{path} must hold a JSON object of constructor arguments, as {{"filters": 32}}.')
    return found


def start_devices(distribution: str, process: str | None) -> tuple[int, int]:
    """Sets up the devices, and says which of several processes this is, (index, count); to be called before models."""
    from magvit_keras.devices import distribution as devices

    share = parse_process(process) if process else None
    if distribution != "none":
        devices.start(distribution)
    return share or devices.process()  # which chooses a GPU for this process, on which models will be made


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
