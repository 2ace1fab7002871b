"""Run by test_vqgan_backends.py on each backend: a few steps from shared weights, and one epoch of a saved run.

    python vqgan_steps.py FOLDER

The first backend to run makes `start.weights.h5` and `saved.keras` there; each prints its logs as one line of JSON.
"""

import json
import pathlib
import sys

import keras
import numpy as np

from magvit_keras.tokenizer.discriminator import VideoDiscriminator
from magvit_keras.tokenizer.perceptual import PerceptualLoss
from magvit_keras.tokenizer.video_tokenizer import VideoTokenizer
from magvit_keras.tokenizer.vqgan import VQGAN


def make():
    # Fixed weights: others may put a latent so near the middle of two codes that rounding decides between them.
    keras.utils.set_random_seed(0)
    tokenizer = VideoTokenizer(32, (1, 2), (True,), 1, embedding_dim=8, codebook_size=32)
    discriminator = VideoDiscriminator(8, (2, 4), video_shape=(4, 8, 8))
    network = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3, activation="relu")])
    model = VQGAN(tokenizer, discriminator, PerceptualLoss(network, input_size=None), ema_decay=0.9)
    optimizers = [keras.optimizers.Adam(rate, beta_1=0.0, beta_2=0.99) for rate in (1e-4, 2e-4)]
    model.compile(*optimizers, jit_compile="auto")
    return model


def fit(model, clips, epochs):
    return model.fit(clips, batch_size=2, epochs=epochs, shuffle=False, verbose=0).history


def main(folder):
    clips = np.random.default_rng(0).random((2, 4, 8, 8, 3), "float32")
    model = make()
    if not (folder / "start.weights.h5").exists():
        model.save_weights(folder / "start.weights.h5")
    model.load_weights(folder / "start.weights.h5")
    steps = fit(model, clips, 5)
    if not (folder / "saved.keras").exists():
        model.save(folder / "saved.keras")
    loaded = keras.saving.load_model(folder / "saved.keras")
    average = float(np.sum([np.abs(w).sum() for w in loaded.ema_tokenizer.get_weights()]))
    print(json.dumps({"steps": steps, "resumed": fit(loaded, clips, 1), "average": average}))


main(pathlib.Path(sys.argv[1]))
