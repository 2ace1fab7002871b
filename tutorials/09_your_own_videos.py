# %% [markdown]
# # 9. Your own videos: from a folder to a fine-tuned model
#
# **You will learn**
#
# - to read a folder of video files, and to check it *before* a long training does;
# - to see in a minute whether a tokenizer knows your kind of video;
# - to fine-tune tokenizer and transformer, and how far ahead that is of training from scratch;
# - to watch for codebook collapse, and for a fine-tuning that changes the meaning of the codes;
# - to save, document and share what you have trained.
#
# About 25 minutes. Paper: Sec. 4.1 and App. B.2 for the training; lessons 3, 5 and 6 for the two stages.

# %%
# Setup, the same in every notebook: installs the library where it is missing (Colab) and picks the backend.
import glob
import importlib
import importlib.util
import os
import subprocess
import sys

if importlib.util.find_spec("magvit_keras") is None:
    # What MAGVIT_KERAS_SOURCE names (a clone, a wheel, git+https://...), a wheel beside the notebook, the index, git.
    wheels = sorted(glob.glob("magvit_keras-*.whl"), key=os.path.getmtime)[-1:]
    sources = [os.environ.get("MAGVIT_KERAS_SOURCE"), *map(os.path.abspath, wheels), "magvit-keras", None]
    sources = [source for source in sources if source]
    pip = [sys.executable, "-m", "pip", "install", "--quiet"]
    for source in sources:
        wanted = "magvit-keras[plots,video] @ " + source if "://" in source else source + "[plots,video]"
        if subprocess.run([*pip, wanted], capture_output=True).returncode == 0:
            break
    else:
        sys.exit(
            "magvit_keras could not be installed from " + ", ".join(sources) + ". Put a wheel beside this notebook "
            "(in a clone: pip wheel --no-deps .), or set MAGVIT_KERAS_SOURCE to a clone's folder."
        )
    importlib.invalidate_caches()

import magvit_keras as mk

print("Backend:", mk.choose_backend())
FAST = os.environ.get("MAGVIT_KERAS_FAST") == "1"  # a tenth of the steps, for automatic tests

# %%
import pathlib
import tempfile

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import ops

from magvit_keras.callbacks.health import CollapseWarning, StopOnNaN
from magvit_keras.data.token_cache import TokenBatches
from magvit_keras.training.optimizers import transformer_optimizer

keras.utils.set_random_seed(0)

# %% [markdown]
# ## The folder
#
# The library reads a folder with one sub-folder for each class, with files of any size, length and of the usual
# formats:
#
# ```text
# videos/
#   waves/   a.mp4  b.mov
#   clouds/  c.avi  d.webm
# ```
#
# In the next cell put the path of yours in `folder`. Until then it makes a stand-in: video files of four classes of
# Moving Shapes with **strong textures**, which the shipped model has not seen: it was trained on flat colours. One file
# is broken, as one always is.

# %%
folder = None  # your path here

if folder is None:
    folder = pathlib.Path(tempfile.mkdtemp()) / "videos"
    made = mk.data.MovingShapes(
        16 if FAST else 40,
        num_frames=24,
        size=(72, 96),
        shapes=("star", "ring"),
        motions=("orbit", "spin"),
        occlusion=0.0,
        texture=1.0,
        seed=7,
    )
    made.write_videos(folder, extension=("mp4", "webm", "avi"))
    (folder / "star_orbit" / "holiday.mp4").write_bytes(b"This is no video.")

videos = mk.data.VideoFolder(folder, num_frames=16, size=(64, 64))
print(videos.scan())
print("classes:", videos.class_names)

# %% [markdown]
# `scan` opens every file and decodes a frame. Broken ones are named, with the reason, and not opened again: the next
# readable one replaces each, with a warning. So it is with files that turn out broken later; a training does
# not stop for them.
#
# A training clip is a random window of 16 frames and a random square crop, scaled to 64×64, anew in each epoch; an
# evaluation clip is the middle one. Split first, look second: the held-out videos are what you judge by.

# %%
training, held_out = videos.split(0.2, seed=0)
print(len(training), "videos to train on,", len(held_out), "held out")
known = held_out.arrays()["video"].astype("float32") / 255
mk.show(known[:4], columns=4, fps=8)

# %% [markdown]
# Look at this animation for a while. Is the motion visible at this frame rate (else change `frame_stride`)? Does the
# square crop cut off what matters? Are the classes really different? No number later will tell you.
#
# ## Does the tokenizer know such videos?
#
# Reconstruction needs no training at all. The shipped tokenizer has learned flat colours; how much of your clips
# survives it?

# %%
shipped = mk.Magvit.from_preset("magvit_tiny_moving_shapes")  # its tokenizer: 3dvq_grid_shapes
tokenizer = shipped.tokenizer


def through(tokenizer, clips):
    """Reconstructions."""
    return np.clip(ops.convert_to_numpy(tokenizer.decode(tokenizer.encode(clips))), 0, 1)


def psnr(made, true):
    return float(-10 * np.log10(np.mean((made - true) ** 2)))


known = known[:4]  # enough to see it; take all of them for a number to report
usual = mk.data.MovingShapes(4, split="test", look="grid").arrays()["video"].astype("float32") / 255
before = through(tokenizer, known)
print(f"what it was trained on: {psnr(through(tokenizer, usual), usual):.1f} dB")
print(f"your videos: {psnr(before, known):.1f} dB")
mk.show({"yours": known[:3], "reconstructed": before[:3]}, fps=8)

# %% [markdown]
# Nothing that the transformer generates later can be better than this. If the reconstruction is good enough for you,
# skip to the transformer. If it is far below what the tokenizer reaches on its own data, fine-tune it.
# (`3dvq_tiny_moving_shapes`, which comes with the package too, has seen more colours than this one. But the shipped
# transformer does not know its codes.)
#
# ## Fine-tuning the tokenizer, against from scratch
#
# Both runs below see the same windows of your clips in the same order and take the same number of steps with the same
# learning rate. They differ in the initial weights only. To save time a step takes four windows of 16×32×32 pixels
# instead of whole clips: a convolutional tokenizer does not mind.
#
# Two callbacks stand guard. `StopOnNaN` stops at the first loss that is not finite, `CollapseWarning` warns when few
# codes are in use. The logs hold `codebook_usage` and `perplexity` too.

# %%
steps, batch = (4, 2) if FAST else (20, 4)
clips = training.arrays()["video"]
rng = np.random.default_rng(0)
windows = np.empty((steps * batch, 16, 32, 32, 3), "uint8")
for window in windows:
    clip, row, column = rng.integers(len(clips)), *rng.integers(0, 33, 2)
    window[:] = clips[clip][:, row : row + 32, column : column + 32]


class Curve(keras.callbacks.Callback):
    """Keeps the logs of each step; Keras shows their mean since the epoch's begin, so epochs here are short."""

    def on_train_begin(self, logs=None):
        self.steps = []

    def on_epoch_end(self, epoch, logs=None):
        self.steps.append(dict(logs))


def train(model, weights, data, epochs, **options):
    """From these weights and a fresh optimizer; the compiled step is kept."""
    model.set_weights(weights)
    rate = model.optimizer.learning_rate
    for variable in model.optimizer.variables:
        if variable is not rate:
            variable.assign(ops.zeros(variable.shape, variable.dtype))
    curve = Curve()
    model.fit(
        data, epochs=epochs, shuffle=False, verbose=0, callbacks=[curve, StopOnNaN(), CollapseWarning(0.02)], **options
    )
    return {name: np.array([logs[name] for logs in curve.steps]) for name in curve.steps[0]}


class Windows(keras.utils.PyDataset):
    """Two steps an epoch, always new windows: what is logged is measured on windows not seen before."""

    def __init__(self):
        super().__init__()
        self.epoch = 0

    def __len__(self):
        return 2

    def __getitem__(self, step):
        first = (2 * self.epoch + step) * batch % len(windows)
        return windows[first : first + batch]

    def on_epoch_end(self):
        self.epoch += 1


pretrained = tokenizer.get_weights()
fresh = mk.VideoTokenizer.from_preset("3dvq_grid_shapes", load_weights=False).get_weights()
tokenizer.compile(keras.optimizers.Adam(3e-4))
curves, states = {}, {}
for name, weights in (("from scratch", fresh), ("fine-tuned", pretrained)):
    curves[name] = train(tokenizer, weights, Windows(), steps // 2)
    states[name] = tokenizer.get_weights()
    print(f"{name}: {psnr(through(tokenizer, known), known):.1f} dB on the held-out videos")

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
for name, curve in curves.items():
    at = 2 * np.arange(1, len(curve["psnr"]) + 1)
    axes[0].plot(at, curve["psnr"], "o-", markersize=3, label=name)
    axes[1].plot(at, curve["perplexity"], "o-", markersize=3, label=name)
axes[0].set(title="PSNR of the training windows, dB", xlabel="step")
axes[1].set(title="perplexity of the codes in a batch", xlabel="step")
axes[0].legend()
plt.show()

# %% [markdown]
# From scratch the first steps learn the mean colour, which
# any training must do first; fine-tuning begins where the shipped training ended, and spends its steps on what is new.
# The gap closes with more steps, but a whole training of such a tokenizer takes thousands.
#
# The right plot is the one to watch for **collapse**: perplexity falling towards 1 means that all places get the same
# code. Then lower the learning rate, raise `entropy_loss_weight`, or train with `mk.VQGAN(...,
# restart_codes_after=...)` ([lesson 4](04_adversarial_training.ipynb)). How are the codes used on the held-out videos?

# %%
ids = {}
for name, weights in {"as shipped": pretrained, **states}.items():
    tokenizer.set_weights(weights)
    ids[name] = ops.convert_to_numpy(tokenizer.encode(known))
same = np.mean(ids["fine-tuned"] == ids["as shipped"])
print(f"{same:.0%} of the tokens are the same before and after fine-tuning")
mk.visualize.plot_codebook_usage(ids, tokenizer.codebook_size)

# %% [markdown]
# The share of equal tokens is a warning. A transformer that was trained with the old codes has to learn the meaning of
# those that changed. The more the tokenizer moves, the less of a pretrained transformer is left. So:
#
# - *Reconstructions are good as they are*: leave the tokenizer alone, fine-tune the transformer only.
# - *They are not*: fine-tune the tokenizer gently, then the transformer for longer.
# - *Your videos are of another kind altogether*: train both from scratch; the shipped one is tiny and for shapes.
#
# ## Fine-tuning the transformer, against from scratch
#
# The shipped transformer knows 36 classes; your folder has its own. Class tokens are rows of the embedding table, so
# your classes simply take the first rows, which then learn their new meaning. Tokens are made once and cached; a task's
# condition needs tokens of its own, since it is another clip ([lesson 6](06_commit.ipynb)).

# %%
magvit = mk.Magvit(
    tokenizer,
    shipped.transformer,
    tasks=[shipped.tasks["frame_prediction"], "class_conditional_generation"],
    class_names=videos.class_names,
    class_dropout=0.1,
)
tokens = magvit.tokenize(training.arrays(), batch_size=4)
print({name: value.shape for name, value in tokens.items()})

rounds, per_round = (2, 1) if FAST else (6, 2)
magvit.compile(transformer_optimizer(rounds * per_round, learning_rate=5e-4))
size = (2 if FAST else 4, 1, per_round)  # batch size, seed of the order, steps a round
learned = magvit.transformer.get_weights()
transformer_config = magvit.transformer.get_config()
untrained = mk.MaskedTransformer.from_config(transformer_config).get_weights()

results = {}
for name, weights in (("from scratch", untrained), ("fine-tuned", learned)):
    magvit.transformer.set_weights(weights)
    curve = train(magvit, magvit.get_weights(), TokenBatches(tokens, *size), rounds)
    results[name] = (curve["loss"], magvit.transformer.get_weights())
    print(f"{name}: loss {curve['loss'][0]:.2f} at first, {curve['loss'][-1]:.2f} at the end")

# %%
plt.figure(figsize=(5, 3.2))
for name, (loss, _) in results.items():
    plt.plot(per_round * np.arange(1, len(loss) + 1), loss, "o-", markersize=3, label=name)
plt.axhline(np.log(tokenizer.codebook_size), color="0.5", linestyle=":", label="guessing: log(codes)")
plt.xlabel("step")
plt.ylabel("loss, nats a token")
plt.legend()
plt.show()

# %% [markdown]
# The dotted line is the loss of guessing among all codes. From scratch the transformer needs its first hundreds of
# steps to learn which codes exist at all and how often they occur. The shipped one may begin above that line: it is sure
# of flat colours, and mistaken here. What it knows of how tokens fit together is soon of use again.
#
# ## Generate
#
# The same held-out videos, continued from their first five frames, by both:

# %%
first = known[:2]
generated = {"true": first}
for name in results:
    magvit.transformer.set_weights(results[name][1])
    generated[name] = magvit.generate("frame_prediction", video=first, num_steps=4 if FAST else 8, seed=0)
mk.show(generated, fps=8)

# %% [markdown]
# After so few steps neither is good. What to look for: the fine-tuned one has kept something of the given frames, their
# colours and the place of the shape, and loses it where they end; the one from scratch draws its tokens nearly at
# random. On your own videos plan with some thousands of steps for each stage: hours on a GPU, not minutes on a CPU.
#
# ## Save and share
#
# A preset is a folder: architecture, weights, and a model card. It loads on every backend. Write into the card what
# others must know, above all what the videos are and under which licence the weights may be used.

# %%
out = pathlib.Path(tempfile.mkdtemp()) / "my_model"
magvit.save_to_preset(
    out,
    card={
        "description": "MAGVIT tiny, fine-tuned on a few textured shapes, as an exercise.",
        "data": f"{len(training)} videos of {videos.num_classes} classes",
        "steps": f"{rounds * per_round} of the transformer; the tokenizer as shipped",
        "scores": {"held-out PSNR, dB": round(psnr(through(tokenizer, known), known), 1)},
        "licence": "apache-2.0",
    },
)
print({path.name: f"{path.stat().st_size / 1e3:.0f} kB" for path in sorted(out.iterdir())})
again = mk.Magvit.from_preset(out)
same = all(np.array_equal(a, b) for a, b in zip(again.get_weights(), magvit.get_weights(), strict=True))
print("classes:", again.class_names, "- weights equal:", same)

# %% [markdown]
# To put it on the Hugging Face hub, log in once with `hf auth login`, then:
#
# ```python
# mk.upload_preset("hf://me/my_model", out)  # private=True for a private repository
# magvit = mk.Magvit.from_preset("hf://me/my_model")  # anyone, anywhere
# ```
#
# Nothing in a preset of others is run when you load it: `config.json` is plain data, the weights are numbers.
#
# ## The same, in one call
#
# `mk.train` does both stages with checkpoints in one folder. Killed at any moment, the same call goes on. It is also
# what `magvit-keras train` runs:
#
# ```python
# magvit = mk.train(
#     "videos",
#     "runs/mine",
#     start_from="magvit_tiny_moving_shapes",  # or a folder, hf://...; "none": from nothing
#     tokenizer_steps=5000,
#     transformer_steps=20000,
#     adversarial=True,  # sharper, slower: lesson 4
# )
# ```
#
# Classes of your folder that the model knows by name keep the rows that they have learned; others begin with the row
# that stands for "no class".
#
# [Train on your own videos](tasks/train_on_your_own_videos.ipynb) is the notebook for it.
#
# ## Exercises
#
# **1.** Fine-tune the transformer with the *fine-tuned* tokenizer. Is the loss lower or higher than above, and what
# does the comparison say?
#
# <details><summary>Solution</summary>
#
# ```python
# tokenizer.set_weights(states["fine-tuned"])
# tokens_after = magvit.tokenize(training.arrays(), batch_size=4)
# magvit.transformer.set_weights(learned)
# curve = train(magvit, magvit.get_weights(), TokenBatches(tokens_after, *size), rounds)
# print(curve["loss"][[0, -1]], results["fine-tuned"][0][[0, -1]])
# ```
#
# It starts higher the more tokens have changed their meaning. But losses under *different tokenizers* cannot be
# compared beyond that: a tokenizer that gives every clip the same code would have loss 0. Compare generated clips.
#
# </details>
#
# **2.** Make the codebook collapse on purpose. Which signal shows it first?
#
# <details><summary>Solution</summary>
#
# ```python
# tokenizer.optimizer.learning_rate = 1e-2  # a variable: nothing is compiled again
# curve = train(tokenizer, fresh, Windows(), steps // 2)
# print(curve["perplexity"].round(1), curve["psnr"].round(1))
# ```
#
# The learning rate is far too high: perplexity falls to a handful of codes within a few steps. PSNR need not show it,
# since the mean colour of all clips, the first thing learned, needs one code only. Watch perplexity, not the loss.
#
# </details>
#
# **3.** Your videos are 10 s long at 30 frames per second, and the motion is slow. Which `frame_stride` makes a clip of
# 16 frames span about 3 s, and what changes for short videos?
#
# <details><summary>Solution</summary>
#
# 3 s are 90 frames; 90 / 16 is about 6: `mk.data.VideoFolder(folder, num_frames=16, frame_stride=6)`. A video must then
# have 96 frames for a whole clip; a shorter one is repeated from its start, which shows as a jump. Look at such clips
# before you train on them.
#
# </details>
#
# **4.** Hold out by *video*, not by clip: why does it matter here, and how could it still go wrong with your folder?
#
# <details><summary>Solution</summary>
#
# Two windows of one video are nearly the same picture; if one is trained on, the other measures memory. `split` divides
# videos. It cannot know that `walk_1.mp4` and `walk_2.mp4` are parts of one recording, or that the same person is in
# half of them. Then make the lists yourself: two folders, and `mk.data.VideoFolder(other,
# class_names=videos.class_names)` for the second.
#
# </details>
#
# ## Further reading
#
# - MAGVIT ([arXiv 2212.05199](https://arxiv.org/abs/2212.05199)): App. B.2, training; Sec. 3.1 and Table 7, a 3D tokenizer that starts from a 2D one
#   (inflation) is fine-tuning, too: `docs/inflation.md`.
# - In the library: `docs/how_to/own_videos.md`, `share.md`, `troubleshoot.md`; `magvit_keras/training/train.py`.
# - Next: [lesson 10](10_scaling_up.ipynb), what it costs.
