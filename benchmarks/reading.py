"""How fast clips are read: by format, number of worker processes and decoder; and whether two workers feed a training.

    python benchmarks/reading.py                 # with the decoders that are installed
    python benchmarks/reading.py --seconds 1     # a quick look
    python benchmarks/reading.py --workers 0     # without worker processes, and so without the training

Writes videos of 100 frames of 240x320 (BAIR: 30 frames of 64x64, as it is) and reads random clips of 16x128x128 (BAIR:
16x64x64) in batches of 4. Prints Markdown. Rates are of one run on one machine; before they are taken, worker
processes have --warm-up seconds to start and to load their decoder. CPU time is that of reading in the main process,
and changes less where other programs run.
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
from magvit_keras.data import BAIR, MovingShapes, PreparedVideos, VideoFolder, write_video
from magvit_keras.data.files import decode
from magvit_keras.data.files.decoders import DECODERS, check_decoder, read_frames
from magvit_keras.data.files.examples import make_example
from magvit_keras.data.files.images import encode_image
from magvit_keras.data.files.records import write_records
from magvit_keras.data.readers.samples import write_sample
from magvit_keras.presets.tokenizers import VIDEO_TOKENIZERS
from magvit_keras.training.optimizers import tokenizer_optimizer

VIDEOS, FRAMES, SIZE, BATCH = 4, 100, (240, 320), 4
FILES = {"avi": "AVI, XVID (UCF-101)", "mp4": "MP4, H.264 (Kinetics-600)", "webm": "WebM, VP9 (SSv2)"}
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
        grain = rng.integers(-4, 5, (FRAMES, *SIZE, 1), np.int16)
        clip = np.clip(sample["video"] + grain, 0, 255).astype(np.uint8)
        for ending in FILES:
            (root / ending).mkdir(exist_ok=True)
            write_video(root / ending / f"{number}.{ending}", clip, fps=25)
        records.append(make_example({"video": [encode_image(frame, "JPEG") for frame in clip], "label": [0]}))
    (root / "tfds").mkdir()
    write_records(root / "tfds" / "made-train.tfrecord-00000-of-00001", records)
    write_sample("bair", root / "bair", 32)


def rate(source, workers: int, seconds: float, warm_up: float) -> tuple[float, float]:
    """Clips per second, and CPU milliseconds of this process per clip."""
    loader = source.loader(BATCH, workers=workers, steps_per_epoch=100_000)
    batches = iter(loader)
    start = time.perf_counter()
    next(batches)
    while workers and time.perf_counter() - start < warm_up:
        next(batches)
    start, cpu, count = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - start < seconds:
        count += len(next(batches)["label"])
    taken, cpu = time.perf_counter() - start, time.process_time() - cpu
    loader.close()
    return count / taken, cpu / count * 1e3


def agreement(root: pathlib.Path, names: list[str]) -> None:
    print("| decoder | format | own size: largest difference | scaled: mean difference | scaled: PSNR, dB |")
    print("|---|---|---|---|---|")
    window, size = range(20, 36), (128, 171)
    for name, ending in itertools.product(names[1:], FILES):
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


def throughput(root: pathlib.Path, names: list[str], numbers: list[int], *times: float) -> None:
    columns = (f"{n} workers" if n != 1 else "1 worker" for n in numbers)
    print("| format | decoder | CPU ms a clip | " + " | ".join(columns) + " |")
    print("|---|---|---|" + "---|" * len(numbers))
    sources = {
        (FILES[ending], name): VideoFolder(root / ending, 16, (128, 128), decoder=name)
        for ending, name in itertools.product(FILES, names)
    }
    sources["TFRecord, JPEG (prepared UCF-101)", "-"] = PreparedVideos(root / "tfds", label=None)
    sources["TFRecord, raw pixels (BAIR)", "-"] = BAIR(root / "bair")
    for (what, name), source in sources.items():
        rates = [rate(source, workers, *times) for workers in numbers]
        cells = [f"{rates[0][1]:.0f}" if numbers[0] == 0 else "-", *(f"{clips:.1f}" for clips, _ in rates)]
        print(f"| {what} | {name} | " + " | ".join(cells) + " |", flush=True)
    print("\nClips per second by the number of workers.\n")


def feeding(root: pathlib.Path, *times: float) -> None:
    """Against a step of the quickest training there is: 3dvq_tiny without a discriminator."""
    model = VideoTokenizer(**VIDEO_TOKENIZERS["3dvq_tiny"]["config"])
    model.compile(optimizer=tokenizer_optimizer(100, 1e-4, beta_1=0.9))
    clips = np.random.default_rng(0).integers(0, 256, (BATCH, 16, 64, 64, 3), np.uint8)

    def step() -> float:
        start = time.perf_counter()
        model.train_on_batch(clips)
        return time.perf_counter() - start

    step()  # compiles
    print(
        f"| format | a training step, ms | a batch of {BATCH} from two workers, ms | ratio | two workers are enough |"
    )
    print("|---|---|---|---|---|")
    for ending, what in FILES.items():
        wait = BATCH / rate(VideoFolder(root / ending, 16, (64, 64)), 2, *times)[0]
        taken = sorted(step() for _ in range(5))[2]
        enough = "yes" if taken >= wait else "no"
        print(f"| {what} | {taken * 1e3:.0f} | {wait * 1e3:.0f} | {taken / wait:.1f} | {enough} |", flush=True)
    print("\nBatches and steps are timed one after the other, not at the same time; a step is the median of five.\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4, help="how long each cell is measured")
    parser.add_argument("--workers", type=int, nargs="*", default=[0, 1, 2], help="numbers of worker processes")
    parser.add_argument("--warm-up", type=float, default=6, help="seconds for worker processes to start")
    arguments = parser.parse_args()
    times, numbers = (arguments.seconds, arguments.warm_up), arguments.workers
    names = installed()
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        write(root)
        throughput(root, names, numbers, *times)
        if len(names) > 1:
            agreement(root, names)
        if 2 in numbers:
            feeding(root, *times)
    print(heading(*(f"{PACKAGES[name]} {importlib.metadata.version(PACKAGES[name])}" for name in names)))


if __name__ == "__main__":
    main()
