"""Training steps beside the authors': losses of a VQGAN, and logits of a transformer, from the same weights and data.

    python benchmarks/training_steps.py                    # every installed backend, one after the other
    python benchmarks/training_steps.py --backends jax     # one of them

The weights, the batches, the authors' losses under optax and their logits after ten steps are those of
`train_vqgan.npz` and `train_bert.npz` in `tests/reference/`. Prints for each backend what the authors have, what this
library has, and what it would have with Keras' own Adam.
"""

import pathlib
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from cells import in_process, parser, report
from page import table

REFERENCE = pathlib.Path(__file__).parents[1] / "tests" / "reference"
NAMES = {"jax": "JAX", "tensorflow": "TensorFlow", "torch": "PyTorch"}
LOSSES = ("d_loss", "g_loss", "r1_penalty", "reconstruction_loss", "commitment_loss", "codebook_loss")


def vqgan_losses(arrays: Mapping[str, Any], steps: int, optimizer: Callable) -> dict[str, list[float]]:
    """Each loss by step; `optimizer` is a class."""
    from magvit_keras.convert.flax import load_flax_params
    from magvit_keras.tokenizer.discriminator import VideoDiscriminator
    from magvit_keras.tokenizer.video_tokenizer import VideoTokenizer
    from magvit_keras.tokenizer.vqgan import VQGAN

    tokenizer = VideoTokenizer(32, (1, 1), (True,), 1, embedding_dim=12, codebook_size=48, padding="same")
    discriminator = VideoDiscriminator(8, (2, 2), video_shape=(8, 16, 16))
    load_flax_params(tokenizer, weights(arrays, "params/"))
    load_flax_params(discriminator, weights(arrays, "params_d/"))
    model = VQGAN(tokenizer, discriminator, perceptual_loss=None, ema_decay=0.99)
    model.compile(*(optimizer(2e-4, beta_1=0.0, beta_2=0.99) for _ in "gd"))
    history = model.fit(one_by_one(arrays["batches"]), epochs=steps, steps_per_epoch=1, verbose=0).history
    return {name: history[name] for name in LOSSES}


def transformer_logits(arrays: Mapping[str, Any], optimizer: Callable) -> tuple[list[float], Any]:
    """The loss by step, and the logits of the first batch after the last; `optimizer` is a class with weight decay."""
    import keras
    from keras import ops

    from magvit_keras import backend
    from magvit_keras.commit.losses import cross_entropy, weighted_mean
    from magvit_keras.convert.flax import load_flax_params
    from magvit_keras.transformer.masked_transformer import MaskedTransformer

    class GivenMasks(backend.SteppedModel):
        """Trains a transformer on sequences as they are; `Magvit` would draw their masks."""

        log_names = ("loss",)

        def __init__(self, transformer):
            super().__init__()
            self.transformer = transformer
            self.built = True

        def losses_and_logs(self, data, training):
            data = keras.utils.unpack_x_y_sample_weight(data)[0]
            logits = self.transformer(data["token_ids"], training=training)[..., : self.transformer.codebook_size]
            loss = weighted_mean(cross_entropy(logits, data["targets"], 1e-4), data["weights"])
            return loss, {"loss": loss}

    transformer = MaskedTransformer(60, 3, (2, 3, 4), 3, 48, 3, 96, dropout=0.0)
    load_flax_params(transformer, weights(arrays, "params/"))
    model = GivenMasks(transformer)
    made = optimizer(3e-4, weight_decay=0.045, beta_1=0.9, beta_2=0.96, global_clipnorm=1.0)
    if type(made).__name__ == "AdamW":  # Keras' own
        made.exclude_from_weight_decay(var_names=["bias", "gamma", "beta", "scale", "embedding", "tokens", "positions"])
    model.compile(made)
    batches = [{name: arrays[name][i] for name in ("token_ids", "targets", "weights")} for i in range(10)]
    history = model.fit(one_by_one(batches), epochs=len(batches), steps_per_epoch=1, verbose=0).history
    return history["loss"], ops.convert_to_numpy(transformer(batches[0]["token_ids"]))


def one_by_one(batches: Any) -> Iterator:
    """A generator, of which `fit` takes one batch an epoch: its history is then by step."""
    yield from ((batch,) for batch in batches)


def weights(arrays: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): arrays[name] for name in arrays if name.startswith(prefix)}


def measure() -> dict[str, Any]:
    """Losses and largest differences on the current backend, with the library's optimizers and with Keras'."""
    import keras
    import numpy as np
    from heading import heading

    from magvit_keras import backend
    from magvit_keras.training.optimizers import KernelDecayAdamW

    vqgan, bert = (np.load(REFERENCE / f"{name}.npz") for name in ("train_vqgan", "train_bert"))
    found = {"heading": heading()}
    for name, adam, adamw in (
        ("ours", backend.OptaxAdam, KernelDecayAdamW),
        ("keras", keras.optimizers.Adam, keras.optimizers.AdamW),
    ):
        losses = vqgan_losses(vqgan, 8, adam)
        apart = [np.abs(np.subtract(losses[key], vqgan[f"logs/{key}"])) for key in LOSSES]
        logits = transformer_logits(bert, adamw)[1]
        found[name] = {
            "g_loss": losses["g_loss"],
            "apart": np.max(apart, axis=0).tolist(),
            "logits": float(np.abs(logits - bert["after/logits"]).max()),
        }
    return {**found, "theirs": vqgan["logs/g_loss"].tolist()}


def page(backend: str, found: Mapping[str, Any]) -> str:
    """The tables of a backend."""
    ours, keras = found["ours"], found["keras"]
    columns = ["step", "theirs", "ours", "ours with Keras' default", "ours: off by", "Keras' default: off by"]
    rows = [
        [f"{i + 1}", *(f"{value:.6f}" for value in loss), f"{ours['apart'][i]:.1e}", f"{keras['apart'][i]:.1e}"]
        for i, loss in enumerate(zip(found["theirs"], ours["g_loss"], keras["g_loss"], strict=True))
    ]
    logits = f"{ours['logits']:.1e}, with Keras' default {keras['logits']:.1e}"
    return "\n\n".join(
        (
            f"### {NAMES[backend]}: training steps",
            table(columns, rows, text_columns=0),
            f"The transformer's logits after ten steps: off by up to {logits}.",
            found["heading"],
        )
    )


def main() -> int:
    arguments = parser(__doc__).parse_args()
    if arguments.cell:
        report(measure())
        return 0
    for name in arguments.backends:
        print(page(name, in_process(name, "all")), end="\n\n", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
