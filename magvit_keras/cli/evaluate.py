"""`magvit-keras evaluate`: a model measured by a protocol of the paper."""

import pathlib
import shlex
import sys
from typing import Annotated

import typer

from magvit_keras.cli.options import (
    Distribution,
    Precision,
    Process,
    Reader,
    errors_in_one_line,
    parse_size,
    reader_options,
    set_precision,
    start_devices,
)


def evaluate(
    run: Annotated[
        str, typer.Option(help="Folder of a run or a preset, a preset that has weights, or hf://user/repo.")
    ],
    out: Annotated[pathlib.Path, typer.Option(help="Folder of the report. Started again, it goes on from there.")],
    recipe: Annotated[
        str | None, typer.Option(help="The recipe that the model was trained by; it names the protocol.")
    ] = None,
    protocol: Annotated[str | None, typer.Option(help="A protocol by its name, as bair_fp_debiased.")] = None,
    data: Annotated[pathlib.Path | None, typer.Option(help="Folder of the data set; none for Moving Shapes.")] = None,
    data_format: Annotated[
        str | None, typer.Option("--format", help="What the data is; by default the protocol's.")
    ] = None,
    reader: Reader = None,
    extractor: Annotated[
        str | None, typer.Option(help="i3d, shapes, a .keras file of a model clips -> features, or I3D's weights.")
    ] = None,
    resize_rule: Annotated[str | None, typer.Option(help="Of I3D: tf1 (the authors'), half_pixel (TATS').")] = None,
    c3d: Annotated[pathlib.Path | None, typer.Option(help="Weights of C3D, for the Inception Score.")] = None,
    c3d_mean: Annotated[pathlib.Path | None, typer.Option(help="The mean clip of Chainer's C3D.")] = None,
    lpips: Annotated[pathlib.Path | None, typer.Option(help="Weights of VGG16, for LPIPS.")] = None,
    lpips_heads: Annotated[pathlib.Path | None, typer.Option(help="Weights of LPIPS' heads.")] = None,
    metric: Annotated[list[str] | None, typer.Option(help="Only this measure; may be given several times.")] = None,
    task: Annotated[list[str] | None, typer.Option(help="Only this task; may be given several times.")] = None,
    samples: Annotated[int | None, typer.Option(help="Samples of a fold.")] = None,
    folds: Annotated[int | None, typer.Option(help="Repetitions with other samples.")] = None,
    tries: Annotated[
        int | None, typer.Option(help="PSNR, SSIM, LPIPS: the best of this many samples of a clip.")
    ] = None,
    num_steps: Annotated[int | None, typer.Option(help="Decoding steps.")] = None,
    schedule: Annotated[str | None, typer.Option(help="Mask schedule.")] = None,
    temperature: Annotated[float | None, typer.Option(help="Of the noise on the confidence.")] = None,
    guidance_scale: Annotated[float | None, typer.Option(help="Classifier-free guidance.")] = None,
    decoder: Annotated[str | None, typer.Option(help="commit, maskgit or halton; autoregressive (Table 6).")] = None,
    condition_frames: Annotated[int | None, typer.Option(help="Given frames of frame prediction.")] = None,
    windows: Annotated[str | None, typer.Option(help="random, first, centre, or a number spread evenly.")] = None,
    crops: Annotated[int | None, typer.Option(help="Crops of each window.")] = None,
    frames: Annotated[int | None, typer.Option(help="Frames of a clip.")] = None,
    size: Annotated[str | None, typer.Option(help="Height and width of the clips, as HxW or one number.")] = None,
    stride: Annotated[int | None, typer.Option(help="Take every n-th frame of a video.")] = None,
    process: Process = None,
    distribution: Distribution = "none",
    precision: Precision = None,
    cache: Annotated[
        pathlib.Path | None, typer.Option(help="Folder of the kept features; reports may share one.")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Clips generated at a time.")] = 16,
    shard_clips: Annotated[int, typer.Option(help="Clips in a file of features.")] = 64,
    workers: Annotated[int, typer.Option(help="Processes that decode videos.")] = 1,
    seed: Annotated[int, typer.Option(help="Of the samples and of random windows.")] = 0,
    verbose: Annotated[int, typer.Option(help="1: a progress bar, 0: nothing.")] = 1,
) -> None:
    """Measure a model as the paper does, and report every choice with the scores."""
    with errors_in_one_line():
        if recipe is None and protocol is None:
            raise ValueError("Say --recipe, or --protocol; `magvit-keras evaluate --help` explains them.")
        set_precision(precision)
        from magvit_keras.presets.protocols import get_protocol
        from magvit_keras.presets.recipes import get_recipe

        trained = None if recipe is None else get_recipe(recipe)
        base = get_protocol(protocol or trained.evaluation)  # names are looked up before Keras is loaded
        from magvit_keras.evaluation import evaluate, load_model, settle, to_markdown

        changes = {
            "metrics": metric or None,
            "tasks": task or None,
            "samples": samples,
            "folds": folds,
            "tries": tries,
            "num_steps": num_steps,
            "schedule": schedule,
            "temperature": temperature,
            "guidance_scale": guidance_scale,
            "decoder": decoder,
            "num_condition_frames": condition_frames,
            "windows": int(windows) if windows and windows.isdecimal() else windows,
            "crops": crops,
            "frame_stride": stride,
            "data_format": data_format,
            "reader": reader_options(reader) or None,
        }
        if frames is not None or size is not None:
            height_width = parse_size(size) if size else base.video_shape[1:]
            changes["video_shape"] = (frames or base.video_shape[0], *height_width)
        settled = settle(base, **changes)
        share = start_devices(distribution, process)
        report = evaluate(
            load_model(run, settled),
            settled,
            out,
            data,
            recipe=recipe,
            extractor=extractor,
            resize_rule=resize_rule,
            files={"c3d": c3d, "c3d_mean": c3d_mean, "lpips": lpips, "lpips_heads": lpips_heads},
            seed=seed,
            batch_size=batch_size,
            shard_clips=shard_clips,
            workers=workers,
            process=share,
            cache=cache,
            model_from=run,
            command=shlex.join(["magvit-keras", *sys.argv[1:]]),
            verbose=verbose,
        )
        if report is None and distribution != "none":
            typer.echo("The first process writes the report.")
        elif report is None:
            typer.echo("Parts are left for the other processes; the last one writes the report.")
        else:
            typer.echo(to_markdown(report).split("\n## ")[0])
            typer.echo(f"The report is {out / 'report.json'}, and to read {out / 'report.md'}.")
