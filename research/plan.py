"""What a table is, as data: rows, columns, the orderings that the paper finds, and how much work it may take."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Budget:
    """Sizes and lengths of everything that is trained for the tables; equal for all rows of a table.

    Args:
        train_clips: different clips to train on; another seed trains on other clips.
        test_clips: held-out clips, the same for all seeds.
        frames: T of a clip.
        size: height and width of the clips of Table 7, on which tokenizers are trained.
        texture: contrast of their textures, 0 to 1.
        filters: base width of the tokenizers of Table 7.
        channel_multipliers: their levels.
        temporal_downsample: of the 3D-VQ.
        embedding_dim: width of a code.
        codebook_size: number of codes.
        tokenizer_steps: optimizer steps of every tokenizer, the 2D-VQ included.
        tokenizer_batch: clips in a batch.
        tokenizer_rate: peak of the learning rate.
        large_size: height and width of the clips of Tables 4 to 6, whose 3D-VQ comes with the package.
        large_texture: contrast of their textures; what the shipped tokenizer knows.
        image_steps: optimizer steps of the 2D-VQ of Table 6.
        image_batch: clips in its batches.
        image_rate: peak of its learning rate.
        layers: of the transformers.
        hidden: their width; the MLPs are four times as wide.
        heads: attention heads.
        transformer_steps: optimizer steps of every transformer, for one task or ten.
        transformer_batch: clips in a batch.
        transformer_rate: peak of the learning rate.
        num_steps: decoding steps K.
        temperature: of the noise on the confidence; the paper's 4.5 is for 1024 tokens.
        repeats: calls of which the shortest is the time of a decoder.
        timed_sizes: heights of the clips of Figure 5.
    """

    train_clips: int = 384
    test_clips: int = 72
    frames: int = 8
    size: int = 16
    texture: float = 0.0
    filters: int = 8
    channel_multipliers: tuple[int, ...] = (1, 2, 4)
    temporal_downsample: tuple[bool, ...] = (True, True)
    embedding_dim: int = 8
    codebook_size: int = 256
    tokenizer_steps: int = 400
    tokenizer_batch: int = 8
    tokenizer_rate: float = 2e-3
    large_size: int = 32
    large_texture: float = 0.15
    image_steps: int = 400
    image_batch: int = 4
    image_rate: float = 1e-3
    layers: int = 2
    hidden: int = 96
    heads: int = 4
    transformer_steps: int = 300
    transformer_batch: int = 8
    transformer_rate: float = 2e-3
    num_steps: int = 12
    temperature: float = 4.5
    repeats: int = 3
    timed_sizes: tuple[int, ...] = (16, 32, 64)


#: What the committed tables were made with, ten times the training of their transformers, and what `--check` takes.
BUDGETS = {
    "full": Budget(),
    "long": Budget(train_clips=1536, transformer_steps=3000),
    "check": Budget(
        train_clips=96,
        test_clips=48,
        tokenizer_steps=60,
        image_steps=40,
        transformer_steps=150,  # with fewer the loss parts of Table 5 have not parted yet
        repeats=2,
        timed_sizes=(16, 32),
    ),
}


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of a table: what is trained and measured for it.

    Args:
        name: in file names.
        label: as the reader sees it.
        options: what `Table.measure` needs to know.
    """

    name: str
    label: str
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of a table.

    Args:
        name: of the score in a cell.
        label: as the reader sees it.
        digits: after the point.
        better: "low", "high", or "" where neither is better.
        paper: name of the paper's own number that stands beside it, or None.
        paper_label: what that number was measured on.
    """

    name: str
    label: str
    digits: int = 1
    better: str = ""
    paper: str | None = None
    paper_label: str = ""


@dataclasses.dataclass(frozen=True)
class Claim:
    """An ordering that the paper's table shows: one row is better than another in a column.

    Args:
        column: name of the column.
        better: name of the row that is better in the paper.
        worse: name of the other row.
        checked: whether `--check` compares it; others the short budget does not show.
        timed: whether it orders times, which another backend can turn around: then `--check` compares it only with
            times that were taken on the same one.
    """

    column: str
    better: str
    worse: str
    checked: bool = False
    timed: bool = False


@dataclasses.dataclass(frozen=True)
class Table:
    """A table or figure of the paper in miniature.

    Args:
        name: `table4` ... `figure5`.
        title: one line.
        about: what is compared, and on what.
        rows: in the order of the paper.
        columns: the scores.
        claims: the paper's orderings.
        measure: `(workshop, row, seed) -> scores`, a dict of column name to number; None where a row has none.
        plotted: column of the plot; by default the first.
        plot: draws the figure in its own way: `(axes, summary)`.
        unused: fields of `Budget` on which no score of the table depends; a change of these leaves its cells valid.
    """

    name: str
    title: str
    about: str
    rows: tuple[Row, ...]
    columns: tuple[Column, ...]
    claims: tuple[Claim, ...]
    measure: Callable[[Any, Row, int], dict[str, float | None]]
    plotted: str = ""
    plot: Callable[[Any, dict], None] | None = None
    unused: frozenset[str] = frozenset()

    def row(self, name: str) -> Row:
        """The row of that name."""
        return next(row for row in self.rows if row.name == name)

    def column(self, name: str) -> Column:
        """The column of that name."""
        return next(column for column in self.columns if column.name == name)
