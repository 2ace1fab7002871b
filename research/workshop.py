"""What the rows share: clips, tokenizers, tokens and transformers, each made once and kept."""

import dataclasses
import json
import os
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from magvit_keras.commit.tasks import TASKS
from magvit_keras.data import MovingShapes
from magvit_keras.data.token_cache import TokenBatches
from magvit_keras.files import atomic_path, write_text
from magvit_keras.model.magvit import Magvit
from magvit_keras.model.tokenizing import tokenize
from magvit_keras.presets.tokenizers import VIDEO_TOKENIZERS
from magvit_keras.tokenizer.image_tokenizer import ImageTokenizer
from magvit_keras.tokenizer.inflation import inflate
from magvit_keras.tokenizer.video_tokenizer import VideoTokenizer
from magvit_keras.training.optimizers import tokenizer_optimizer, transformer_optimizer
from magvit_keras.transformer.masked_transformer import MaskedTransformer
from research.plan import Budget

#: Nine classes, few enough that a small transformer learns what they mean.
SHAPES = {"shapes": ("circle", "square", "star"), "motions": ("left_right", "up_down", "orbit"), "occlusion": 0.0}
#: The tokenizers of Table 7: the 2D-VQ, and the three starts of the 3D-VQ.
TOKENIZERS = ("2d", "scratch", "average", "central")
#: The 3D-VQ of Tables 4 to 6; it was trained for longer than a table may take.
SHIPPED = "3dvq_moving_shapes"
#: Tasks without a class, the eight of the paper's BAIR model.
EIGHT_TASKS = tuple(name for name, task in TASKS.items() if not task.needs_class)

#: Fields of a budget on which no weights depend, and those on which no tokenizer does.
EVALUATION = {"test_clips", "num_steps", "temperature", "repeats", "timed_sizes"}
TRANSFORMER = {"layers", "hidden", "heads", "transformer_steps", "transformer_batch", "transformer_rate"}
LARGE = {"large_size", "large_texture", "image_steps", "image_batch", "image_rate"}


class Workshop:
    """Makes what the cells of all tables need, and keeps it in a folder, so that no model is trained twice.

    Args:
        budget: sizes and lengths.
        folder: of the models' weights and tokens; what another budget left there is made again.
        note: called with a line for each model that is trained.
    """

    def __init__(self, budget: Budget, folder: str | os.PathLike, note: Callable[[str], None] = lambda line: None):
        self.budget, self.folder, self.note = budget, pathlib.Path(folder), note
        self._clips: dict[Any, dict[str, np.ndarray]] = {}

    def clips(self, split: str = "train", seed: int = 0, large: bool = False) -> dict[str, np.ndarray]:
        """Clips of the split as arrays, "video" and "label"; those held out are the same for all seeds.

        Args:
            split: "train" or "test".
            seed: of the clips to train on.
            large: those of Tables 4 to 6; else of Table 7.
        """
        b = self.budget
        size, texture = (b.large_size, b.large_texture) if large else (b.size, b.texture)
        count = b.train_clips if split == "train" else b.test_clips
        key = (split, seed if split == "train" else 0, large)
        if key not in self._clips:
            source = MovingShapes(count, b.frames, (size, size), key[1], split, texture=texture, **SHAPES)
            self._clips[key] = source.arrays()
        return self._clips[key]

    def new_tokenizer(self, kind: str) -> ImageTokenizer | VideoTokenizer:
        """A tokenizer as it starts: "2d", or any other of `TOKENIZERS` for the 3D-VQ of Table 7; see `tokenizer`."""
        b = self.budget
        if kind == "shipped":
            return VideoTokenizer.from_preset(SHIPPED)
        if kind == "large_2d":
            config = VIDEO_TOKENIZERS[SHIPPED]["config"]
            return ImageTokenizer(**{k: v for k, v in config.items() if k != "temporal_downsample"})
        shared = {
            "filters": b.filters,
            "channel_multipliers": b.channel_multipliers,
            "num_res_blocks": 1,
            "embedding_dim": b.embedding_dim,
            "codebook_size": b.codebook_size,
            "entropy_loss_weight": 0.02,
            "norm_groups": 1,
        }
        if kind == "2d":
            return ImageTokenizer(**shared)
        return VideoTokenizer(temporal_downsample=b.temporal_downsample, **shared)

    def tokenizer(self, kind: str, seed: int) -> ImageTokenizer | VideoTokenizer:
        """The trained tokenizer of that kind.

        Args:
            kind: one of `TOKENIZERS`, which take equal steps on the same clips in the same order; "shipped", the 3D-VQ
                that comes with the package; or "large_2d", a 2D-VQ of its sizes.
            seed: of weights and clips.

        Raises:
            ValueError: an unknown kind.
        """
        if kind == "shipped":
            return self.new_tokenizer(kind)
        if kind not in (*TOKENIZERS, "large_2d"):
            raise ValueError(f"Unknown tokenizer {kind!r}; expected {', '.join(TOKENIZERS)}, shipped or large_2d.")
        images = self.tokenizer("2d", seed) if kind in ("average", "central") else None
        keras.utils.set_random_seed(seed)
        made = self.new_tokenizer(kind)

        def train() -> None:
            b, large = self.budget, kind == "large_2d"
            steps, batch, rate = (
                (b.image_steps, b.image_batch, b.image_rate)
                if large
                else (b.tokenizer_steps, b.tokenizer_batch, b.tokenizer_rate)
            )
            if images is not None:
                inflate(images, made, mode=kind)
            made.compile(optimizer=tokenizer_optimizer(steps, rate, beta_1=0.9))
            clips = self.clips("train", seed, large)["video"]
            made.fit(ClipBatches(clips, batch, seed, steps), shuffle=False, verbose=0)

        self._kept(made, f"tokenizer-{kind}-seed{seed}", train)
        return made

    def tokens(self, kind: str, seed: int, tasks: Sequence[str]) -> dict[str, np.ndarray]:
        """Tokens of the training clips and of their condition clips, for the tasks in their order."""
        clips, tokenizer = self.clips("train", seed, large=True), None
        columns = []
        for task in tasks:
            path = self.folder / f"tokens-{kind}-seed{seed}-{task}.npz"
            if self._is_ours(path.stem) and path.is_file():
                with np.load(path) as file:
                    columns.append(dict(file))
                continue
            tokenizer = tokenizer or self.tokenizer(kind, seed)
            columns.append(tokenize(tokenizer, {task: TASKS[task]}, clips["video"], batch_size=16))
            self.folder.mkdir(parents=True, exist_ok=True)
            with atomic_path(path) as partial:
                np.savez(partial, **columns[-1])
            self._sign(path.stem)
        conditions = np.concatenate([column["condition_tokens"] for column in columns], axis=1)
        return {"tokens": columns[0]["tokens"], "condition_tokens": conditions, "label": clips["label"]}

    def new_magvit(
        self,
        tokenizer: ImageTokenizer | VideoTokenizer,
        tasks: Sequence[str],
        condition_mode: str = "commit",
        loss_parts: Sequence[str] = ("refine", "mask", "reconstruct"),
        class_dropout: float = 0.0,
        size: int | None = None,
    ) -> Magvit:
        """An untrained model; with `condition_mode="prefix"` the condition's tokens are part of its prefix."""
        b = self.budget
        latent_shape = tokenizer.latent_shape((b.frames, size or b.large_size, size or b.large_size))
        transformer = MaskedTransformer(
            tokenizer.codebook_size,
            num_classes=len(SHAPES["shapes"]) * len(SHAPES["motions"]),
            latent_shape=latent_shape,
            num_layers=b.layers,
            hidden_size=b.hidden,
            num_heads=b.heads,
            mlp_dim=4 * b.hidden,
            dropout=0.0,
            prefix_length=2 + (int(np.prod(latent_shape)) if condition_mode == "prefix" else 0),
            causal=condition_mode == "autoregressive",
        )
        return Magvit(
            tokenizer,
            transformer,
            tasks,
            condition_mode=condition_mode,
            loss_parts=loss_parts,
            class_dropout=class_dropout,
        )

    def magvit(self, name: str, seed: int, tasks: Sequence[str], kind: str = "shipped", **options: Any) -> Magvit:
        """The trained model of that name; the options are those of `new_magvit`.

        Args:
            name: of the kept weights; two names are two models.
            seed: of clips, weights and masks.
            tasks: names.
            kind: of its tokenizer, "shipped" or "large_2d".
        """
        tokenizer = self.tokenizer(kind, seed)
        keras.utils.set_random_seed(seed)
        made = self.new_magvit(tokenizer, tasks, **options)

        def train() -> None:
            b = self.budget
            batches = TokenBatches(self.tokens(kind, seed, tasks), b.transformer_batch, seed, b.transformer_steps)
            keras.utils.set_random_seed(seed)
            made.compile(optimizer=transformer_optimizer(b.transformer_steps, b.transformer_rate))
            made.fit(batches, shuffle=False, verbose=0)

        self._kept(made.transformer, f"{name}-seed{seed}", train)
        return made

    def _kept(self, model: keras.Model, name: str, train: Callable[[], None]) -> None:
        """Loads the model's weights, or trains it and keeps them: beside, then renamed."""
        path = self.folder / f"{name}.weights.h5"
        if self._is_ours(name) and path.is_file():
            model.load_weights(path)
            return
        began = time.monotonic()
        train()
        self.folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as partial:
            model.save_weights(partial)
        self._sign(name)
        self.note(f"  trained {name} in {time.monotonic() - began:.0f} s")

    def _signature(self, name: str) -> dict:
        """What the thing of that name depends on: transformers on all of the training, the rest not on theirs."""
        budget = json.loads(json.dumps(dataclasses.asdict(self.budget)))
        left_out = set(EVALUATION)
        if name.startswith(("tokenizer-", "tokens-")):
            left_out |= TRANSFORMER
            if name.split("-")[1] in TOKENIZERS:
                left_out |= LARGE
        return {key: value for key, value in budget.items() if key not in left_out}

    def _is_ours(self, name: str) -> bool:
        path = self.folder / f"{name}.json"
        return path.is_file() and json.loads(path.read_text()) == self._signature(name)

    def _sign(self, name: str) -> None:
        write_text(self.folder / f"{name}.json", json.dumps(self._signature(name)))


class ClipBatches(keras.utils.PyDataset):
    """Batches of clips held in memory; their order depends on the seed alone."""

    def __init__(self, clips: np.ndarray, batch_size: int, seed: int, steps: int):
        super().__init__()
        self.clips, self.batch_size, self.seed, self.steps = clips, batch_size, seed, steps

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> np.ndarray:
        positions = np.arange(step * self.batch_size, (step + 1) * self.batch_size)
        count = len(self.clips)
        orders = {p // count: np.random.default_rng([self.seed, p // count]).permutation(count) for p in positions}
        return self.clips[[orders[p // count][p % count] for p in positions]]
