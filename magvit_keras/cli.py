"""The command line: `magvit-keras train`, `tokenize`, `generate`, `demo`; the same as `python -m magvit_keras`."""

import json
import pathlib
from typing import Annotated

import typer

app = typer.Typer(
    help="Masked video generation: train on a folder of videos, generate from what was learned.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Format = Annotated[str, typer.Option("--format", help="What the data is: folder, ucf101, bair, web, ...")]
Reader = Annotated[
    list[str] | None,
    typer.Option("--reader", help="An argument of the format's reader, as split=test; may be given several times."),
]
Size = Annotated[str, typer.Option(help="Height and width of the clips in pixels, as HxW or one number.")]


@app.command()
def train(
    data: Annotated[pathlib.Path, typer.Option(help="Folder of videos; a sub-folder is a class.")],
    out: Annotated[pathlib.Path, typer.Option(help="Folder of the run. Started again, the run goes on from there.")],
    data_format: Format = "folder",
    reader: Reader = None,
    frames: Annotated[int, typer.Option(help="Frames of a clip.")] = 16,
    size: Size = "64x64",
    stride: Annotated[int, typer.Option(help="Take every so many-th frame of a video.")] = 1,
    task: Annotated[list[str] | None, typer.Option(help="A task to train; may be given several times.")] = None,
    tokenizer: Annotated[
        str, typer.Option(help="A preset of VideoTokenizer, the folder of a trained one, or a JSON file of arguments.")
    ] = "3dvq_tiny",
    transformer: Annotated[str, typer.Option(help="tiny, base or large, or a JSON file of arguments.")] = "tiny",
    tokenizer_steps: Annotated[int, typer.Option(help="Optimizer steps of the first stage.")] = 2000,
    transformer_steps: Annotated[int, typer.Option(help="Optimizer steps of the second stage.")] = 2000,
    steps_per_epoch: Annotated[int, typer.Option(help="Steps between two checkpoints.")] = 50,
    batch_size: Annotated[int, typer.Option(help="Clips in a step of the tokenizer.")] = 4,
    transformer_batch_size: Annotated[int, typer.Option(help="Clips in a step of the transformer.")] = 16,
    token_passes: Annotated[int, typer.Option(help="Random windows of each video tokenized for the second stage.")] = 4,
    adversarial: Annotated[
        bool, typer.Option(help="Train the tokenizer against a discriminator (VQGAN): sharper, and slower by far.")
    ] = False,
    perceptual_weights: Annotated[
        pathlib.Path | None, typer.Option(help="ResNet-50 weights for the perceptual loss of --adversarial.")
    ] = None,
    flip: Annotated[bool, typer.Option(help="Mirror clips at random; leave off where left and right matter.")] = False,
    workers: Annotated[int, typer.Option(help="Processes that decode videos.")] = 1,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    verbose: Annotated[int, typer.Option(help="1: progress bars, 2: a line an epoch, 0: nothing.")] = 1,
) -> None:
    """Train tokenizer and transformer on a folder of videos."""
    with _errors_in_one_line():
        from magvit_keras.run import Settings, train_run

        height, width = _size(size)
        settings = Settings(
            num_frames=frames,
            height=height,
            width=width,
            frame_stride=stride,
            tasks=tuple(task) if task else Settings.tasks,
            tokenizer=_name_or_json(tokenizer),
            transformer=_name_or_json(transformer),
            batch_size=batch_size,
            transformer_batch_size=transformer_batch_size,
            tokenizer_steps=tokenizer_steps,
            transformer_steps=transformer_steps,
            steps_per_epoch=steps_per_epoch,
            token_passes=token_passes,
            adversarial=adversarial,
            perceptual_weights=None if perceptual_weights is None else str(perceptual_weights),
            horizontal_flip=flip,
            workers=workers,
            seed=seed,
        )
        if data_format != "folder" or reader:
            data = _source(data_format, data, reader, frames, (height, width), stride, flip, seed)
        train_run(data, out, settings, verbose=verbose)


@app.command("tokenize")
def tokenize_command(
    data: Annotated[pathlib.Path, typer.Option(help="Folder of the data set.")],
    out: Annotated[pathlib.Path, typer.Option(help="Folder of the tokens. Started again, it makes what is missing.")],
    tokenizer: Annotated[pathlib.Path, typer.Option(help="Folder of a trained tokenizer, as a run's tokenizer/.")],
    data_format: Format = "folder",
    reader: Reader = None,
    frames: Annotated[int, typer.Option(help="Frames of a clip.")] = 16,
    size: Size = "64x64",
    stride: Annotated[int, typer.Option(help="Take every so many-th frame of a video.")] = 1,
    task: Annotated[list[str] | None, typer.Option(help="A task; may be given several times. All by default.")] = None,
    passes: Annotated[int, typer.Option(help="How many random windows, crops and flips of each video.")] = 1,
    flip: Annotated[bool, typer.Option(help="Mirror clips at random; leave off where left and right matter.")] = False,
    batch_size: Annotated[int, typer.Option(help="Clips encoded at a time.")] = 8,
    shard_clips: Annotated[int, typer.Option(help="Clips in a file.")] = 64,
    workers: Annotated[int, typer.Option(help="Processes that decode videos.")] = 1,
    process: Annotated[str, typer.Option(help="Which of several machines this is, as 0/4; they share --out.")] = "0/1",
    seed: Annotated[int, typer.Option(help="Of windows, crops and flips.")] = 0,
    verbose: Annotated[int, typer.Option(help="1: a progress bar, 0: nothing.")] = 1,
) -> None:
    """Turn a data set into files of tokens, from which the transformer trains without the tokenizer."""
    with _errors_in_one_line():
        from magvit_keras.commit.tasks import TASKS
        from magvit_keras.token_run import write_tokens
        from magvit_keras.tokenizer.video_tokenizer import VideoTokenizer

        if not (tokenizer / "config.json").is_file():
            raise ValueError(f"--tokenizer must be the folder of a trained tokenizer; {tokenizer} has no config.json.")
        index, _, count = process.partition("/")
        if not (index.isdecimal() and count.isdecimal()):
            raise ValueError(f"--process must be a number out of a count, for example 0/4; received {process!r}.")
        shards = write_tokens(
            _source(data_format, data, reader, frames, _size(size), stride, flip, seed),
            VideoTokenizer.from_preset(tokenizer),
            task or list(TASKS),
            out,
            passes=passes,
            batch_size=batch_size,
            shard_clips=shard_clips,
            workers=workers,
            process=(int(index), int(count)),
            verbose=verbose,
        )
        left = len(shards.missing())
        typer.echo(f"{left} files are left for the other processes." if left else f"The tokens are in {out}.")


@app.command()
def generate(
    run: Annotated[pathlib.Path, typer.Option(help="Folder of a finished run.")],
    out: Annotated[pathlib.Path, typer.Option(help="File to write: .mp4, .gif, .webm, .avi, or .png for a strip.")],
    task: Annotated[str, typer.Option(help="What to make.")] = "frame_prediction",
    video: Annotated[pathlib.Path | None, typer.Option(help="The video that the task starts from.")] = None,
    label: Annotated[str | None, typer.Option(help="Name or number of the class, for the tasks with a class.")] = None,
    num_clips: Annotated[int, typer.Option(help="How many clips to make, side by side in the file.")] = 1,
    num_steps: Annotated[int, typer.Option(help="Decoding steps.")] = 12,
    temperature: Annotated[float, typer.Option(help="Of the noise on the confidence.")] = 4.5,
    schedule: Annotated[str, typer.Option(help="Mask schedule: cosine, uniform, exp, ...")] = "cosine",
    guidance_scale: Annotated[float, typer.Option(help="Classifier-free guidance; 0 is off.")] = 0.0,
    condition_frames: Annotated[int | None, typer.Option(help="Given frames, for tasks that give frames.")] = None,
    start: Annotated[int, typer.Option(help="First frame that is read from the video.")] = 0,
    fps: Annotated[float, typer.Option(help="Frames per second of the file.")] = 8.0,
    seed: Annotated[int, typer.Option(help="Another seed gives other clips.")] = 0,
) -> None:
    """Make clips with the model of a run."""
    with _errors_in_one_line():
        import numpy as np

        from magvit_keras import visualize
        from magvit_keras.data import read_clip
        from magvit_keras.run import load_run, run_settings

        writer = _writer(visualize, out)
        magvit = load_run(run)
        clip = None
        if video is not None:
            frames, height, width = magvit.video_shape
            stride = run_settings(run)["frame_stride"]
            clip = read_clip(video, frames, (height, width), stride, start)
            clip = np.repeat(clip[None], num_clips, axis=0)
        made = magvit.generate(
            task,
            video=clip,
            label=None if label is None else _label(label, magvit.class_names),
            num_clips=num_clips,
            num_steps=num_steps,
            temperature=temperature,
            schedule=schedule,
            guidance_scale=guidance_scale,
            num_condition_frames=condition_frames,
            seed=seed,
        )
        writer(out, made, fps)
        typer.echo(f"Wrote {len(made)} clip(s) of {made.shape[1]} frames, {made.shape[2]}x{made.shape[3]}, to {out}.")


@app.command()
def demo(
    out: Annotated[pathlib.Path, typer.Option(help="Folder for videos, the run and the report.")] = pathlib.Path(
        "demo"
    ),
    fast: Annotated[bool, typer.Option(help="A few steps only, to see that everything runs.")] = False,
    verbose: Annotated[int, typer.Option(help="1: progress bars, 2: a line an epoch, 0: nothing.")] = 1,
) -> None:
    """Write small videos, train on them, generate, and show it all on one page."""
    with _errors_in_one_line():
        from magvit_keras.demo import run_demo

        page = run_demo(out, fast=fast, verbose=verbose)
        typer.echo(f"Open {page} in a browser.")


class _errors_in_one_line:
    """Bad input is answered in a line, not in a traceback."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, ValueError | FileNotFoundError | NotADirectoryError | ImportError):
            typer.echo(f"magvit-keras: {error}", err=True)
            raise typer.Exit(2)


def _source(
    name: str,
    data: pathlib.Path,
    options: list[str] | None,
    frames: int,
    size: tuple[int, int],
    stride: int,
    flip: bool,
    seed: int,
) -> object:
    """The reader of a format; numbers among its options are taken as such."""
    from magvit_keras.data import open_source

    given = {}
    for option in options or ():
        key, equals, value = option.partition("=")
        if not (key and equals):
            raise ValueError(f"--reader must be name=value, for example split=test; received {option!r}.")
        given[key] = int(value) if value.isdecimal() else value
    clips = {"num_frames": frames, "size": size, "frame_stride": stride, "horizontal_flip": flip, "seed": seed}
    return open_source(name, data, **{**clips, **given})


def _size(text: str) -> tuple[int, int]:
    parts = text.lower().split("x")
    if len(parts) not in (1, 2) or not all(part.isdigit() for part in parts):
        raise ValueError(f"--size must be HxW or one number, for example 64x64; received {text!r}.")
    return int(parts[0]), int(parts[-1])


def _name_or_json(text: str) -> str | dict:
    path = pathlib.Path(text)
    return json.loads(path.read_text()) if path.suffix == ".json" else text


def _label(text: str, class_names: list[str]) -> int:
    if text in class_names:
        return class_names.index(text)
    if text.isdigit() and int(text) < len(class_names):
        return int(text)
    raise ValueError(f"--label must be one of {', '.join(class_names)}, or its number from 0; received {text!r}.")


def _writer(visualize: object, out: pathlib.Path) -> object:
    """How a file of that extension is written; an unknown one is refused before the work."""
    kinds = {
        ".gif": lambda path, clips, fps: visualize.save_gif(path, clips, fps=fps),
        ".png": lambda path, clips, fps: visualize.save_png_strip(path, clips),
        **dict.fromkeys(
            (".mp4", ".avi", ".webm", ".mov"), lambda path, clips, fps: visualize.save_mp4(path, clips, fps=fps)
        ),
    }
    if out.suffix.lower() not in kinds:
        raise ValueError(f"--out must end in one of {', '.join(kinds)}; received {out.name!r}.")
    return kinds[out.suffix.lower()]
