"""How good a tokenizer is after so many CPU seconds of training on one's own clips, against a plain VQ-VAE.

    KERAS_BACKEND=torch python benchmarks/time_to_quality.py FOLDER
    KERAS_BACKEND=torch python benchmarks/time_to_quality.py FOLDER --seconds 120 360 1200 --presets 3dvq_fast_tiny

FOLDER holds videos, or is a file .npy of clips (N, 16, 64, 64, 3) in uint8; a second one, `--held-out`, is measured;
without it a fifth of the videos. The rival is written here in plain PyTorch: strided convolutions, as many tokens of as
many codes as the first preset has, codes that are running means, start as latents and restart (VideoGPT's tokenizer,
arXiv 2104.10157). Both have one thread, batches of 4 clips and Adam(1e-3), and train in turns; what `adapt` takes
counts. PSNR is the mean over the held-out clips; below stand block means, which no one has learned.
"""

import argparse
import pathlib
import time

import numpy as np
import torch
from heading import heading
from page import table, write_part
from torch import nn

import magvit_keras as mk

CLIP, BATCH = (16, 64, 64), 4
TURN = 5.0  # CPU seconds that each trains before the next does
MEMORY, UNUSED = 0.99, 0.03
VARIANCE = 0.06  # of pixels, by which VideoGPT's code divides the squared error: without it the codes collapse


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("folder", type=pathlib.Path)
    asked.add_argument("--held-out", type=pathlib.Path)
    asked.add_argument("--seconds", type=float, nargs="*", default=[120.0, 360.0, 1200.0])
    asked.add_argument("--presets", nargs="*", default=["3dvq_fast_tiny", "3dvq_tiny"])
    asked.add_argument("--limit", type=int, default=400, help="clips to train on")
    options = asked.parse_args()
    torch.set_num_threads(1)
    train, held_out = clips_of(options.folder, options.held_out, options.limit)
    ours = [Ours(name, train) for name in options.presets]
    runs = [Strided(ours[0].tokenizer.codebook_size, train), *ours]
    rows = [[run.name] for run in runs]
    for seconds in sorted(options.seconds):
        while (run := min(runs, key=lambda run: run.spent)).spent < seconds:
            run.train(min(TURN, seconds - run.spent))
        for run, row in zip(runs, rows, strict=True):
            ids, made = run.reconstruct(held_out)
            row += [f"{psnr(made, held_out):.1f} dB", f"{len(np.unique(ids))} of {run.codes}", str(run.steps)]
            print(row, flush=True)
    for block in (CLIP, (4, 8, 8), (4, 4, 4)):
        means = f"{psnr(block_means(held_out, block), held_out):.1f} dB"
        rows.append([f"means of {'x'.join(map(str, block))}", *[means, "", ""] * len(options.seconds)])
    columns = ["", *(f"{s:g} s{what}" for s in sorted(options.seconds) for what in ("", ", codes", ", steps"))]
    about = heading(f"{len(train)} clips to train on, {len(held_out)} held out, {'x'.join(map(str, CLIP))}")
    write_part("time_to_quality", f"{table(columns, rows)}\n\n{about}")


def clips_of(folder: pathlib.Path, held_out: pathlib.Path | None, limit: int) -> tuple[np.ndarray, np.ndarray]:
    """Clips to train on, and held out, uint8 (N, 16, 64, 64, 3)."""

    def read(path: pathlib.Path) -> np.ndarray | mk.data.VideoFolder:
        if path.suffix == ".npy":
            return np.load(path)
        return mk.data.VideoFolder(path, num_frames=CLIP[0], size=CLIP[1:])

    given = [read(path) for path in (folder, held_out) if path is not None]
    if len(given) == 1:
        found = given[0]
        given = (
            [found[len(found) // 5 :], found[: len(found) // 5]] if isinstance(found, np.ndarray) else found.split(0.2)
        )
    train, rest = (x if isinstance(x, np.ndarray) else x.arrays(limit)["video"] for x in given)
    return train[:limit], rest


class Contestant:
    """Trains for CPU seconds that it counts."""

    def __init__(self, name: str, codes: int, train: np.ndarray):
        self.name, self.codes, self.clips = name, codes, train
        self.spent, self.steps, self.rng = 0.0, 0, np.random.default_rng(0)

    def train(self, seconds: float) -> None:
        before = time.process_time()
        while time.process_time() - before < seconds:
            self.step(self.clips[self.rng.integers(0, len(self.clips), BATCH)])
            self.steps += 1
        self.spent += time.process_time() - before


class Ours(Contestant):
    """A tokenizer of this library: `adapt`, then plain training."""

    def __init__(self, preset: str, train: np.ndarray):
        import keras

        keras.utils.set_random_seed(0)
        self.tokenizer = mk.VideoTokenizer.from_preset(preset, load_weights=False)
        super().__init__(f"`{preset}`", self.tokenizer.codebook_size, train)
        before = time.process_time()
        self.tokenizer.adapt(train[:128])
        self.tokenizer.compile(optimizer=keras.optimizers.Adam(1e-3, beta_2=0.99))
        self.spent = time.process_time() - before

    def step(self, clips: np.ndarray) -> None:
        self.tokenizer.train_on_batch(clips)

    def reconstruct(self, clips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        parts = [clips[i : i + 8] for i in range(0, len(clips), 8)]
        ids = [self.tokenizer.encode(part) for part in parts]
        made = [self.tokenizer.decode(part) for part in ids]
        return tuple(np.concatenate([x.cpu().numpy() for x in part]) for part in (ids, made))


class Residual(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.inner = nn.Sequential(
            *(nn.BatchNorm3d(width), nn.ReLU(), nn.Conv3d(width, width // 2, 3, padding=1)),
            *(nn.BatchNorm3d(width // 2), nn.ReLU(), nn.Conv3d(width // 2, width, 1)),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.inner(x)


class Strided(Contestant):
    """A VQ-VAE as in the literature: 4x8x8 pixels a token by strided convolutions, transposed ones on the way back."""

    def __init__(self, codes: int, train: np.ndarray, width: int = 128, dim: int = 64):
        super().__init__("strided VQ-VAE", codes, train)
        torch.manual_seed(0)
        self.encoder = nn.Sequential(
            *(nn.Conv3d(3, width // 2, 4, 2, 1), nn.ReLU(), nn.Conv3d(width // 2, width, 4, 2, 1), nn.ReLU()),
            *(nn.Conv3d(width, width, (3, 4, 4), (1, 2, 2), 1), Residual(width), Residual(width)),
            *(nn.BatchNorm3d(width), nn.ReLU(), nn.Conv3d(width, dim, 1)),
        )
        self.decoder = nn.Sequential(
            *(nn.Conv3d(dim, width, 3, padding=1), Residual(width), Residual(width), nn.ReLU()),
            *(nn.ConvTranspose3d(width, width, (3, 4, 4), (1, 2, 2), 1), nn.ReLU()),
            *(nn.ConvTranspose3d(width, width // 2, 4, 2, 1), nn.ReLU(), nn.ConvTranspose3d(width // 2, 3, 4, 2, 1)),
        )
        self.codebook, self.counts = torch.zeros(codes, dim), torch.zeros(codes)
        self.optimizer = torch.optim.Adam([*self.encoder.parameters(), *self.decoder.parameters()], 1e-3, (0.9, 0.99))

    def step(self, clips: np.ndarray) -> None:
        self.encoder.train(), self.decoder.train()
        video = to_torch(clips)
        z = self.encoder(video).movedim(1, -1)  # (B, t, h, w, D)
        rows = z.detach().flatten(0, 3)
        nearest = self.nearest(rows)
        codes = self.codebook[nearest].reshape(z.shape)
        made = self.decoder((z + (codes - z).detach()).movedim(-1, 1))
        loss = (made - video).square().mean() / VARIANCE + 0.25 * (codes - z).square().mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        ones = torch.nn.functional.one_hot(nearest, self.codes).float()
        kept = MEMORY * self.counts
        counts = kept + (1 - MEMORY) * ones.sum(0)
        sums = kept[:, None] * self.codebook + (1 - MEMORY) * ones.T @ rows
        unused = counts < UNUSED * counts.mean()
        fresh = rows[torch.randint(len(rows), (self.codes,))]
        self.codebook = torch.where(unused[:, None], fresh, sums / counts.clamp(min=1e-8)[:, None])
        self.counts = torch.where(unused, counts.mean(), counts)

    def nearest(self, rows: torch.Tensor) -> torch.Tensor:
        return (self.codebook.square().sum(1) - 2 * rows @ self.codebook.T).argmin(1)

    @torch.no_grad()
    def reconstruct(self, clips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        ids, made = [], []
        self.encoder.eval(), self.decoder.eval()
        for i in range(0, len(clips), 8):
            z = self.encoder(to_torch(clips[i : i + 8])).movedim(1, -1)
            ids.append(self.nearest(z.flatten(0, 3)))
            codes = self.codebook[ids[-1]].reshape(z.shape)
            made.append(self.decoder(codes.movedim(-1, 1)).movedim(1, -1))
        return torch.cat(ids).numpy(), torch.cat(made).numpy()


def to_torch(clips: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(clips)).movedim(-1, 1).float() / 255


def psnr(made: np.ndarray, clips: np.ndarray) -> float:
    """Mean over clips, in dB, of pixels brought into [0, 1]."""
    errors = [np.square(m.clip(0, 1) - clip / np.float32(255)).mean() for m, clip in zip(made, clips, strict=True)]
    return float(np.mean(-10 * np.log10(np.maximum(errors, 1e-10))))


def block_means(clips: np.ndarray, block: tuple[int, int, int]) -> np.ndarray:
    """The clips in [0, 1] where every block of pixels has its mean colour."""
    t, h, w = block
    shape = (len(clips), CLIP[0] // t, t, CLIP[1] // h, h, CLIP[2] // w, w, 3)
    means = clips.reshape(shape).mean((2, 4, 6), keepdims=True) / np.float32(255)
    return np.broadcast_to(means, shape).reshape(clips.shape)


if __name__ == "__main__":
    main()
