"""200 steps of a small VQGAN on Moving Shapes 16x32x32 on each backend: what is learned, and whether D stays in play.

    python benchmarks/vqgan_three_backends.py                    # every installed backend, one after the other
    python benchmarks/vqgan_three_backends.py --backends jax     # one of them
    python benchmarks/vqgan_three_backends.py --steps 50 --size 16

Prints one table row each 25 steps and a line of checks per backend. Means over the steps of a row; `used` counts the
codes used at least once in the row. Exit status 1 where a check fails.
"""

import argparse
import importlib.util
import os
import subprocess
import sys
import time

COLUMNS = ("psnr", "reconstruction_loss", "d_real_accuracy", "d_fake_accuracy", "d_loss", "r1_penalty", "perplexity")


def train(steps: int, size: int, frames: int, batch: int) -> bool:
    """The run on the current backend; whether every check holds."""
    import keras
    import numpy as np

    from magvit_keras.data import MovingShapes
    from magvit_keras.tokenizer.discriminator import VideoDiscriminator
    from magvit_keras.tokenizer.video_tokenizer import VideoTokenizer
    from magvit_keras.tokenizer.vqgan import VQGAN

    keras.utils.set_random_seed(0)
    source = MovingShapes(num_clips=64, num_frames=frames, size=(size, size), seed=0)
    clips = np.stack([source[i]["video"] for i in range(64)]).astype("float32") / 255.0
    tokenizer = VideoTokenizer(16, (1, 2, 2), (True, True), 1, embedding_dim=16, codebook_size=64, norm_groups=1)
    discriminator = VideoDiscriminator(8, (1, 2, 4), video_shape=(frames, size, size))
    model = VQGAN(tokenizer, discriminator, perceptual_loss=None)
    model.compile(
        generator_optimizer=keras.optimizers.Adam(3e-4, beta_1=0.0, beta_2=0.99),
        discriminator_optimizer=keras.optimizers.Adam(3e-4, beta_1=0.0, beta_2=0.99),
    )
    rng, row, rows = np.random.default_rng(0), 25, []
    print(f"\n{keras.config.backend()}: {steps} steps, batch {batch}, {frames}x{size}x{size}", flush=True)
    print("step   used " + " ".join(f"{name:>19}" for name in COLUMNS) + "   seconds")
    for first in range(0, steps, row):
        count, start = min(row, steps - first), time.perf_counter()
        chosen = rng.integers(0, len(clips), count * batch)
        history = model.fit(clips[chosen], batch_size=batch, shuffle=False, verbose=0).history
        logs = {name: values[-1] for name, values in history.items()}
        logs["used"] = model.code_usage.share_used_within(count)
        rows.append(logs)
        values = " ".join(f"{logs[name]:19.4f}" for name in COLUMNS)
        print(f"{first + count:4d} {logs['used']:6.0%} {values} {time.perf_counter() - start:9.1f}", flush=True)
    half = rows[len(rows) // 2 :]
    checks = {
        "all losses finite": all(np.isfinite(value) for logs in rows for value in logs.values()),
        "PSNR up": rows[-1]["psnr"] > rows[0]["psnr"],
        "codebook use above 30%": rows[-1]["used"] > 0.3,
        "D neither at 0 nor at 100%": 0.02 < np.mean([(r[COLUMNS[2]] + r[COLUMNS[3]]) / 2 for r in half]) < 0.98,
    }
    print("  ".join(f"{name}: {'yes' if holds else 'NO'}" for name, holds in checks.items()), flush=True)
    return all(checks.values())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backends", nargs="*", choices=("jax", "tensorflow", "torch"))
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--size", type=int, default=32, help="height and width, a multiple of 4")
    parser.add_argument("--frames", type=int, default=16, help="a multiple of 4")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--here", action="store_true", help="run in this process, on the backend of KERAS_BACKEND")
    arguments = parser.parse_args()
    if arguments.here:
        return 0 if train(arguments.steps, arguments.size, arguments.frames, arguments.batch) else 1
    failed = 0
    for name in arguments.backends or [n for n in ("jax", "tensorflow", "torch") if importlib.util.find_spec(n)]:
        sizes = [f"--{key}={getattr(arguments, key)}" for key in ("steps", "size", "frames", "batch")]
        # A backend is chosen once per process.
        command = [sys.executable, __file__, "--here", *sizes]
        failed |= subprocess.run(command, env={**os.environ, "KERAS_BACKEND": name}).returncode
    return failed


if __name__ == "__main__":
    sys.exit(main())
