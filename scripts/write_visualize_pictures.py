"""Makes the pictures of docs/how_to/look.md, with the presets that come with the package.

    python scripts/write_visualize_pictures.py

Any backend will do; it takes a minute or two on a laptop's processor. The learning curves are those of a transformer
that it trains on the spot.
"""

import pathlib

import keras
import numpy as np
from PIL import Image

import magvit_keras as mk
from magvit_keras import visualize

IMAGES = pathlib.Path(__file__).resolve().parent.parent / "docs" / "images"
STEPS = 12


def main() -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    magvit = mk.Magvit.from_preset("magvit_tiny_moving_shapes")
    tokenizer, size = magvit.tokenizer, magvit.tokenizer.codebook_size
    clips = mk.data.MovingShapes(8, 16, 64, occlusion=0.0, texture=0.15, split="test").arrays()["video"]

    ids = np.asarray(keras.ops.convert_to_numpy(tokenizer.encode(clips)))
    decoded = np.clip(keras.ops.convert_to_numpy(tokenizer.decode(ids)), 0, 1)
    painted = visualize.to_pixels(visualize.token_map(ids, size), clips.shape[1:4])
    three = {"clip": clips[:4], "reconstruction": decoded[:4], "tokens": painted[:4]}
    save_gif("look_side_by_side.gif", visualize.side_by_side(three, scale=2), 8)
    visualize.save_png_strip(IMAGES / "look_strip.png", [clips[0], decoded[0]], 8, ["clip", "reconstruction"])

    made = magvit.generate("frame_prediction", video=clips[:1], num_steps=STEPS, seed=0, return_details=True)
    save_gif("look_decoding.gif", visualize.decoding_animation(made, size, tokenizer), 2)

    query = (2, 4, 4)
    maps = {
        f"layer {layer + 1}": visualize.attention_maps(magvit, ids[0], query, layer, task="frame_prediction")
        for layer in (0, magvit.transformer.num_layers // 2, magvit.transformer.num_layers - 1)
    }
    save_figure("look_attention.png", visualize.plot_attention(clips[0], maps, query))
    save_figure("look_codebook.png", visualize.plot_codebook_usage(ids, size))
    save_figure("look_history.png", visualize.plot_history(train(tokenizer), ["loss", "mask_accuracy", "refine_loss"]))


def train(tokenizer: mk.VideoTokenizer) -> dict:
    """What a small transformer logs in twelve epochs."""
    keras.utils.set_random_seed(0)
    transformer = mk.MaskedTransformer(
        tokenizer.codebook_size, 0, (4, 8, 8), num_layers=2, hidden_size=64, num_heads=2, mlp_dim=128, dropout=0.0
    )
    model = mk.Magvit(tokenizer, transformer, ["frame_prediction"])
    model.compile(optimizer=keras.optimizers.Adam(2e-3))
    splits = {
        split: model.tokenize(mk.data.MovingShapes(n, 16, 64, occlusion=0.0, texture=0.15, split=split).arrays())
        for split, n in (("train", 96), ("validation", 32))
    }
    fitted = model.fit(splits["train"], validation_data=splits["validation"], batch_size=16, epochs=12, verbose=0)
    return fitted.history


def save_gif(name: str, frames: np.ndarray, fps: float) -> None:
    report(visualize.save_gif(IMAGES / name, frames, fps))


def save_figure(name: str, figure) -> None:
    figure.savefig(IMAGES / name, dpi=100)
    # 64 colours are enough for lines and text, and make the file a third.
    Image.open(IMAGES / name).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(IMAGES / name, optimize=True)
    report(IMAGES / name)


def report(path: pathlib.Path) -> None:
    print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB", flush=True)


if __name__ == "__main__":
    main()
