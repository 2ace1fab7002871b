"""Makes the pictures of docs/how_to/look.md, and of generate.md that of revisions, with the presets of the package.

    python scripts/write_visualize_pictures.py

Any backend will do; it takes a minute or two on a laptop's processor. The learning curves are those of a transformer
that it trains on the spot.
"""

import pathlib

import keras
import numpy as np

import magvit_keras as mk
from magvit_keras import visualize
from magvit_keras.visualize.notebook import Animation, picture_bytes

IMAGES = pathlib.Path(__file__).resolve().parent.parent / "docs" / "images"
STEPS = 12
CLASS = "class_conditional_generation"


def main() -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    magvit = mk.Magvit.from_preset("magvit_tiny_moving_shapes")
    tokenizer, size = magvit.tokenizer, magvit.tokenizer.codebook_size
    clips = mk.data.MovingShapes(8, 16, 64, look="grid", split="test").arrays()["video"]

    ids = np.asarray(keras.ops.convert_to_numpy(tokenizer.encode(clips)))
    decoded = np.clip(keras.ops.convert_to_numpy(tokenizer.decode(ids)), 0, 1)
    painted = visualize.to_pixels(visualize.token_map(ids, size), clips.shape[1:4])
    three = {"clip": clips[:4], "reconstruction": decoded[:4], "tokens": painted[:4]}
    save_animation("look_side_by_side.webp", mk.show(three))
    visualize.save_png_strip(IMAGES / "look_strip.png", [clips[0], decoded[0]], 8, ["clip", "reconstruction"])

    made = magvit.generate("frame_prediction", video=clips[:1], num_steps=STEPS, seed=0, return_details=True)
    save_animation("look_decoding.webp", mk.show(visualize.decoding_animation(made, size, tokenizer), fps=2))

    rounds = {f"num_revisions={n}": n for n in (0, 1, 3)}
    revised = [magvit.generate(CLASS, label=["cross_orbit"], num_revisions=n, seed=2)[0] for n in rounds.values()]
    visualize.save_png_strip(IMAGES / "generate_revisions.png", revised, 8, list(rounds))
    report(IMAGES / "generate_revisions.png")

    query = busiest_token(clips[0], magvit.latent_shape)
    maps = {
        f"layer {layer + 1}": visualize.attention_maps(magvit, ids[0], query, layer, task="frame_prediction")
        for layer in (0, magvit.transformer.num_layers // 2, magvit.transformer.num_layers - 1)
    }
    save_figure("look_attention.png", visualize.plot_attention(clips[0], maps, query))
    save_figure("look_codebook.png", visualize.plot_codebook_usage(ids, size))
    save_figure("look_history.png", visualize.plot_history(train(magvit), ["loss", "mask_accuracy", "refine_loss"]))


def busiest_token(clip: np.ndarray, latent_shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """A token on the outline of the shape, half-way through the clip."""
    t, h, w = latent_shape
    boxes = clip[len(clip) // 2].reshape(h, clip.shape[1] // h, w, clip.shape[2] // w, 3).astype(float)
    row, column = np.unravel_index(boxes.std(axis=(1, 3)).mean(axis=-1).argmax(), (h, w))
    return t // 2, int(row), int(column)


def train(shipped: mk.Magvit) -> dict:
    """What a small transformer logs in ten epochs."""
    keras.utils.set_random_seed(0)
    sizes = {"num_layers": 2, "hidden_size": 64, "num_heads": 2, "mlp_dim": 128, "dropout": 0.0}
    transformer = mk.MaskedTransformer(shipped.tokenizer.codebook_size, 0, shipped.latent_shape, **sizes)
    model = mk.Magvit(shipped.tokenizer, transformer, ["frame_prediction"])
    model.compile(optimizer=keras.optimizers.Adam(2e-3))
    splits = {
        split: model.tokenize(mk.data.MovingShapes(n, 16, 64, look="grid", split=split).arrays())
        for split, n in (("train", 40), ("validation", 16))
    }
    fitted = model.fit(splits["train"], validation_data=splits["validation"], batch_size=8, epochs=10, verbose=0)
    return fitted.history


def save_animation(name: str, shown: Animation) -> None:
    """The picture that a notebook gets."""
    (IMAGES / name).write_bytes(picture_bytes(shown.frames, shown.fps)[1])
    report(IMAGES / name)


def save_figure(name: str, figure) -> None:
    figure.savefig(IMAGES / name, dpi=90)
    report(IMAGES / name)


def report(path: pathlib.Path) -> None:
    print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB", flush=True)


if __name__ == "__main__":
    main()
