"""Does inflation help? PSNR of a 3D-VQ on held-out Moving Shapes after equal steps (Table 7 in miniature).

    KERAS_BACKEND=jax python benchmarks/inflation.py [--steps 200] [--seeds 3]

For each seed: a 2D-VQ is trained on frames, then three 3D-VQs on clips, which start from it by central inflation, from
it by average inflation, and from scratch. Plain losses (reconstruction and quantizer), the same data and order.
"""

import argparse
import statistics

import keras
from heading import heading

import magvit_keras as mk

FRAMES, SIZE, RATE = 8, (16, 16), 3e-4
SHARED = {"filters": 32, "channel_multipliers": (1, 2), "num_res_blocks": 1, "embedding_dim": 16, "codebook_size": 128}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=200, help="optimizer steps of each model")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    held_out = mk.data.MovingShapes(32, FRAMES, SIZE, split="validation").arrays()["video"]
    scores: dict[str, list[float]] = {"central": [], "average": [], "scratch": []}
    for seed in range(options.seeds):
        keras.utils.set_random_seed(seed)
        clips = mk.data.MovingShapes(400, FRAMES, SIZE, seed=seed)
        images = mk.ImageTokenizer(**SHARED)
        train(images, clips, options.steps, seed)
        for mode, values in scores.items():
            keras.utils.set_random_seed(seed)
            tokenizer = mk.VideoTokenizer(temporal_downsample=(True,), **SHARED)
            if mode != "scratch":
                mk.inflate(images, tokenizer, mode=mode)
            train(tokenizer, clips, options.steps, seed)
            values.append(tokenizer.evaluate(held_out, batch_size=4, verbose=0, return_dict=True)["psnr"])
            print(f"seed {seed}, {mode}: {values[-1]:.2f} dB", flush=True)
    print("\n" + heading(f"{options.steps} steps of batch 2, clips {FRAMES}x{SIZE[0]}x{SIZE[1]}") + "\n")
    print("| start | PSNR on held-out clips, dB, mean (standard deviation) |\n|---|---|")
    for mode, values in scores.items():
        spread = statistics.stdev(values) if len(values) > 1 else float("nan")
        print(f"| {mode} | {statistics.mean(values):.2f} ({spread:.2f}) |")


def train(tokenizer: keras.Model, clips: mk.data.MovingShapes, steps: int, seed: int) -> None:
    """The same batches in the same order for every model."""
    loader = clips.loader(batch_size=2, seed=seed, steps_per_epoch=steps)
    tokenizer.compile(optimizer=keras.optimizers.Adam(RATE))
    tokenizer.fit(loader, verbose=0)


if __name__ == "__main__":
    main()
