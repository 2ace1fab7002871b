"""A model for other videos that starts from a learned one: same sizes, other classes and tasks."""

from collections.abc import Sequence

from magvit_keras.checks import to_numpy
from magvit_keras.data import Source
from magvit_keras.model.magvit import Magvit
from magvit_keras.tokenizer.video_tokenizer import VideoTokenizer
from magvit_keras.transformer.masked_transformer import MaskedTransformer


def train_further(
    learned: Magvit, source: Source, tasks: Sequence[str] = (), class_dropout: float = 0.0, remat: str = "none"
) -> Magvit:
    """A new model with the weights of `learned`, for the clips and classes of `source`; it is trained as that one was.

    Args:
        learned: a trained model; it is not changed.
        source: the clips to train on, of the size of the model's.
        tasks: names; one that `learned` has, too, is given the same frames. All of its tasks by default.
        class_dropout: share of examples that train without their class.
        remat: see `VideoTokenizer`.

    Raises:
        ValueError: clips of another size.

    Example:
        >>> learned = Magvit.from_preset("magvit_tiny_moving_shapes")     # doctest: +SKIP
        >>> magvit = train_further(learned, VideoFolder("videos", 16, (64, 64)))  # doctest: +SKIP
    """
    shape = tuple(source[0]["video"].shape[:3])
    if shape != learned.video_shape:
        has, wanted = ("x".join(map(str, size)) for size in (learned.video_shape, shape))
        raise ValueError(f"The model to start from makes clips of {has}; the training asks for {wanted}.")
    tokenizer = VideoTokenizer.from_config({**learned.tokenizer.get_config(), "remat": remat})
    tokenizer.set_weights(learned.tokenizer.get_weights())
    transformer = with_other_classes(
        learned.transformer, source.num_classes, source.class_names, learned.class_names, remat
    )
    chosen = [learned.tasks.get(name, name) for name in tasks or learned.tasks]
    return Magvit(
        tokenizer,
        transformer,
        chosen,
        task_weights=learned.task_weights if chosen == list(learned.tasks.values()) else None,
        schedule=learned.schedule,
        label_smoothing=learned.label_smoothing,
        class_dropout=class_dropout,
        condition_mode=learned.condition_mode,
        loss_parts=learned.loss_parts,
        prompts=learned.prompts,
        class_names=source.class_names,
    )


def with_other_classes(
    learned: MaskedTransformer,
    num_classes: int,
    class_names: Sequence[str] | None = None,
    learned_names: Sequence[str] | None = None,
    remat: str = "none",
) -> MaskedTransformer:
    """A new transformer of the same sizes with `num_classes` classes, and the weights of `learned`.

    A class that both know by name keeps what was learned of it. Any other starts as "no class", which stands for the
    average clip.

    Args:
        learned: the transformer to start from; it is not changed.
        num_classes: of the new one, 0 or more.
        class_names: of the new one, in order.
        learned_names: of the learned one, in order.
        remat: of the new one, see `MaskedTransformer`.

    Returns:
        The new transformer.

    Raises:
        ValueError: `learned` is quantized: its weights no longer train.

    Example:
        >>> from magvit_keras import MaskedTransformer
        >>> learned = MaskedTransformer(16, num_classes=3, latent_shape=(1, 2, 2), num_layers=1, hidden_size=8,
        ...                             num_heads=2, mlp_dim=8)
        >>> with_other_classes(learned, 5).num_classes
        5
    """
    if learned.quantized is not None:
        raise ValueError(f"A transformer quantized to {learned.quantized} no longer trains; start from its original.")
    made = MaskedTransformer.from_config({**learned.get_config(), "num_classes": num_classes, "remat": remat})
    rows = _rows(learned, num_classes, class_names or (), learned_names or ())
    # Two weights have a row for each token: the table, and the bias of the output.
    by_token = {id(learned.embedding.tokens), id(learned.output_head.bias)}
    for new, old in zip(made.weights, learned.weights, strict=True):
        value = to_numpy(old)
        new.assign(value[rows] if id(old) in by_token else value)
    return made


def _rows(learned: MaskedTransformer, num_classes: int, names: Sequence[str], learned_names: Sequence[str]) -> list:
    """For each row of the new table the row of the old one that it starts from: codes, classes, "no class", special."""
    total, after = learned.embedding.rows, 1 + learned.num_special_tokens
    first, no_class = total - after - learned.num_classes, total - after
    known = {name: first + i for i, name in enumerate(learned_names)}
    classes = [known.get(name, no_class) for name in names][:num_classes]
    classes += [no_class] * (num_classes - len(classes))
    return [*range(first), *classes, *range(no_class, total)]
