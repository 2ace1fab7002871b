"""How fast clips are read: by format, number of worker processes and decoder; and whether two workers feed a training.

    python benchmarks/reading.py                 # with the decoders that are installed
    python benchmarks/reading.py --seconds 1     # a quick look

Writes videos of 100 frames of 240x320 (BAIR: 30 frames of 64x64, as it is) and reads random clips of 16x128x128 (BAIR:
16x64x64) in batches of 8. Prints Markdown. Rates are of one run on one machine, after two batches that warm up.
"""

import argparse
import importlib.metadata
import itertools
import pathlib
import tempfile
import time

import numpy as np
from heading import heading

from magvit_keras import VideoTokenizer
from magvit_keras.data import BAIR, MovingShapes, PreparedVideos, VideoFolder, decode, write_video
from magvit_keras.data.decoders import DECODERS, check_decoder, read_frames
from magvit_keras.data.examples import make_example
from magvit_keras.data.images import encode_image
from magvit_keras.data.records import write_records
from magvit_keras.data.samples import write_sample
from magvit_keras.optimizers import tokenizer_optimizer
from magvit_keras.presets.tokenizers import VIDEO_TOKENIZERS

VIDEOS, FRAMES, SIZE, BATCH = 8, 100, (240, 320), 8
FILES = {"avi": "AVI, XVID (UCF-101)", "mp4": "MP4, H.264 (Kinetics-600)", "webm": "WebM, VP9 (SSv2)"}
WORKERS = (0, 1, 2)
PACKAGES = {"pyav": "av", "torchcodec": "torchcodec", "tensorflow_io": "tensorflow-io"}


def installed() -> list[str]:
    names = []
    for name in DECODERS:
        try:
            names.append(check_decoder(name))
        except ImportError:
            continue
    return names


def write(root: pathlib.Path) -> None:
    """Noise over moving shapes: plain shapes would be cheaper to decode than anything a camera sees."""
    rng = np.random.default_rng(0)
    records = []
    for number, sample in enumerate(MovingShapes(VIDEOS, FRAMES, SIZE)):
        grain = rng.integers(-12, 13, (FRAMES, *SIZE, 1), np.int16)
        clip = np.clip(sample["video"] + grain, 0, 255).astype(np.uint8)
        for ending in FILES:
            (root / ending).mkdir(exist_ok=True)
            write_video(root / ending / f"{number}.{ending}", clip, fps=25)
        records.append(make_example({"video": [encode_image(frame, "JPEG") for frame in clip], "label": [0]}))
    (root / "tfds").mkdir()
    write_records(root / "tfds" / "made-train.tfrecord-00000-of-00001", records)
    write_sample("bair", root / "bair", 32)


def rate(source, workers: int, seconds: float) -> float:
    """Clips per second."""
    with_steps = source.loader(BATCH, workers=workers, steps_per_epoch=100_000)
    batches = iter(with_steps)
    for _ in range(2):
        next(batches)
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        count += len(next(batches)["label"])
    taken = time.perf_counter() - start
    with_steps.close()
    return count / taken


def agreement(root: pathlib.Path, names: list[str]) -> None:
    print("| decoder | format | own size: largest difference | scaled: mean difference | scaled: PSNR, dB |")
    print("|---|---|---|---|---|")
    window, size = range(20, 36), (128, 171)
    for name, ending in itertools.product(names, FILES):
        info = decode.probe(root / ending / f"0.{ending}")
        whole, small = (
            np.abs(
                read_frames(info, window, size=s, decoder=name).astype(int) - decode.read_frames(info, window, size=s)
            )
            for s in (None, size)
        )
        psnr = 10 * np.log10(255**2 / max(np.mean(small.astype(float) ** 2), 1e-9))
        print(f"| {name} | {FILES[ending]} | {whole.max()} | {small.mean():.2f} | {psnr:.1f} |")
    print("\nDifferences are from PyAV, of 255.\n", flush=True)


def throughput(root: pathlib.Path, names: list[str], seconds: float) -> None:
    print("| format | decoder | " + " | ".join(f"{n} workers" if n != 1 else "1 worker" for n in WORKERS) + " |")
    print("|---|---|" + "---|" * len(WORKERS))
    sources = {
        (FILES[ending], name): VideoFolder(root / ending, 16, (128, 128), decoder=name)
        for ending, name in itertools.product(FILES, names)
    }
    sources["TFRecord, JPEG (prepared UCF-101)", "-"] = PreparedVideos(root / "tfds", label=None)
    sources["TFRecord, raw pixels (BAIR)", "-"] = BAIR(root / "bair")
    for (what, name), source in sources.items():
        rates = [f"{rate(source, workers, seconds):.1f}" for workers in WORKERS]
        print(f"| {what} | {name} | " + " | ".join(rates) + " |", flush=True)
    print("\nClips per second.\n")


def feeding(root: pathlib.Path, seconds: float, batch: int = 4) -> None:
    """A step of the quickest training there is: 3dvq_tiny without a discriminator."""
    model = VideoTokenizer(**VIDEO_TOKENIZERS["3dvq_tiny"]["config"])
    model.compile(optimizer=tokenizer_optimizer(100, 1e-4))
    clips = np.random.default_rng(0).integers(0, 256, (batch, 16, 64, 64, 3), np.uint8)
    model.train_on_batch(clips)  # compiles
    start, steps = time.perf_counter(), 0
    while steps < 2 or time.perf_counter() - start < 3 * seconds:
        model.train_on_batch(clips)
        steps += 1
    step = (time.perf_counter() - start) / steps
    print(
        f"| format | a training step, ms | a batch of {batch} from two workers, ms | ratio | two workers are enough |"
    )
    print("|---|---|---|---|---|")
    for ending, what in FILES.items():
        wait = batch / rate(VideoFolder(root / ending, 16, (64, 64)), 2, seconds)
        enough = "yes" if step >= wait else "no"
        print(f"| {what} | {step * 1e3:.0f} | {wait * 1e3:.0f} | {step / wait:.1f} | {enough} |", flush=True)
    print("\nStep and batches are timed one after the other: on all cores the step, in two processes the reading.\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4, help="how long each cell is measured")
    seconds = parser.parse_args().seconds
    names = installed()
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        write(root)
        throughput(root, names, seconds)
        agreement(root, names)
        feeding(root, seconds)
    print(heading(*(f"{PACKAGES[name]} {importlib.metadata.version(PACKAGES[name])}" for name in names)))


if __name__ == "__main__":
    main()
