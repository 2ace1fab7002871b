"""`magvit-keras tokenize`: from videos to tokens on disk."""

import pathlib
from typing import Annotated

import typer

from magvit_keras.cli.options import Format, Reader, Size, errors_in_one_line, open_data, parse_process, parse_size


def tokenize(
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
    with errors_in_one_line():
        from magvit_keras.commit.tasks import TASKS
        from magvit_keras.token_run import write_tokens
        from magvit_keras.tokenizer.video_tokenizer import VideoTokenizer

        if not (tokenizer / "config.json").is_file():
            raise ValueError(f"--tokenizer must be the folder of a trained tokenizer; {tokenizer} has no config.json.")
        share = parse_process(process)
        shards = write_tokens(
            open_data(data_format, data, reader, frames, parse_size(size), stride, flip, seed),
            VideoTokenizer.from_preset(tokenizer),
            task or list(TASKS),
            out,
            passes=passes,
            batch_size=batch_size,
            shard_clips=shard_clips,
            workers=workers,
            process=share,
            verbose=verbose,
        )
        left = len(shards.missing())
        typer.echo(f"{left} files are left for the other processes." if left else f"The tokens are in {out}.")
