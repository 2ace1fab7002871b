"""Decoders against each other (Table 6 in miniature): decoder x steps x time per clip x token accuracy.

    KERAS_BACKEND=torch python benchmarks/decoders.py --run build/ten_tasks

Frame prediction of held-out Moving Shapes from one frame. Algorithm 1, MaskGIT and Halton order decode with the
weights of a run of `benchmarks/ten_tasks.py`, which is made where there is none yet; for autoregressive decoding a
causal transformer of the same size is trained on the run's tokens for as many steps, once (`causal/` in the run). Time
is the shortest of three calls after the first, per clip, tokens and pixels; accuracy is the share of the tokens that
are the true clip's, over the part that was not given.
"""

import argparse
import pathlib
import time

import keras
import numpy as np
from heading import heading
from ten_tasks import train

from magvit_keras.callbacks.checkpoint import Checkpoint
from magvit_keras.checks import to_float
from magvit_keras.data import MovingShapes
from magvit_keras.data.token_cache import TokenBatches
from magvit_keras.data.token_shards import read_shards
from magvit_keras.demo import DEMO_SHAPES
from magvit_keras.model.magvit import Magvit
from magvit_keras.presets.resolver import run_settings
from magvit_keras.training.optimizers import transformer_optimizer
from magvit_keras.training.recipe import recipes_of, settings_of
from magvit_keras.training.train import load_run
from magvit_keras.transformer.masked_transformer import MaskedTransformer

TASK = "frame_prediction"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=pathlib.Path, required=True, help="a run of benchmarks/ten_tasks.py")
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--steps", type=int, nargs="*", default=[1, 4, 8, 12, 24])
    options = parser.parse_args()
    if not (options.run / "magvit" / "config.json").is_file():
        train(options.run, clips=300, tokenizer_steps=50, transformer_steps=300, epoch=50)
    magvit = load_run(options.run)
    causal = causal_model(magvit, options.run)
    frames, height, width = magvit.video_shape
    source = MovingShapes(options.clips, frames, (height, width), split="validation", **DEMO_SHAPES)
    clips = keras.ops.convert_to_numpy(to_float(source.arrays()["video"]))
    tokens = int(np.prod(magvit.latent_shape))
    print("\n" + heading(f"{options.clips} clips of {frames}x{height}x{width}, {tokens} tokens each") + "\n")
    print("| decoder | steps | seconds per clip | token accuracy |\n|---|---|---|---|")
    for decoder in ("commit", "maskgit", "halton"):
        for steps in options.steps:
            row(magvit, clips, decoder, steps)
    row(causal, clips, "autoregressive", int(np.prod(magvit.latent_shape)))


def row(magvit: Magvit, clips: np.ndarray, decoder: str, steps: int) -> None:
    """Prints the row of one decoder."""
    call = {"video": clips, "decoder": decoder, "num_steps": steps}
    made = magvit.generate(TASK, **call, return_details=True)
    truth = keras.ops.convert_to_numpy(magvit.tokenizer.encode(clips))
    accuracy = (made.tokens == truth)[made.ispad].mean()
    seconds = []
    for _ in range(4):
        began = time.perf_counter()
        magvit.generate(TASK, **call)
        seconds.append(time.perf_counter() - began)
    print(f"| {decoder} | {steps} | {min(seconds[1:]) / len(clips):.3f} | {accuracy:.1%} |", flush=True)


def causal_model(magvit: Magvit, run: pathlib.Path) -> Magvit:
    """The run's model with a causal transformer, trained as long as the run's own; kept in `causal/`."""
    config = {**magvit.transformer.get_config(), "causal": True, "name": "causal"}
    transformer = MaskedTransformer.from_config(config)
    causal = Magvit(magvit.tokenizer, transformer, [TASK], condition_mode="autoregressive")
    recipe = recipes_of(settings_of(run_settings(run)["settings"]))[1].recipe
    steps, epoch = recipe.total_steps, recipe.steps_per_epoch
    tokens = read_shards(run / "tokens")
    tokens["condition_tokens"] = tokens["condition_tokens"][:, [list(magvit.tasks).index(TASK)]]
    batches = TokenBatches(tokens, recipe.batch_size, steps_per_epoch=epoch)
    causal.compile(optimizer=transformer_optimizer(steps, recipe.learning_rate))
    checkpoint = Checkpoint(run / "causal", data=batches)
    done = checkpoint.restore(causal)
    causal.fit(batches, epochs=-(-steps // epoch), initial_epoch=done, callbacks=[checkpoint], verbose=2)
    return causal


if __name__ == "__main__":
    main()
