# %% [markdown]
# # 1. Clips and the built-in data
#
# MAGVIT turns a clip into a short list of whole numbers, learns to fill in missing ones, and turns the list back into a
# clip. Before any of that, look at what a clip is and at what it holds.
#
# **You will learn**
#
# - how a clip is stored, and which mistakes the library refuses;
# - what the built-in data set, Moving Shapes, contains, and why it is enough to learn from;
# - how far you get in predicting a clip without any learning: the baselines that a model has to beat;
# - whether time or space is cheaper to throw away, which is the idea behind tokens that span four frames.
#
# The paper is MAGVIT ([arXiv 2212.05199](https://arxiv.org/abs/2212.05199)); this lesson goes with its Sec. 3 and
# App. B.3. It takes about 20 minutes; you need to know NumPy, and nothing about video.

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

import matplotlib.pyplot as plt
import numpy as np
from keras import ops

from magvit_keras.data import MovingShapes, VideoFolder

# %% [markdown]
# ## A clip is an array
#
# A clip is $x \in [0,1]^{T\times H\times W\times 3}$: $T$ frames of $H\times W$ pixels with red, green and blue. A
# batch has one more axis in front, $(B, T, H, W, 3)$. Two storage types are in use: `uint8`, 0 to 255, as files hold
# them, and floats in $[0, 1]$, as networks want them. The library takes either and scales the first.

# %%
source = MovingShapes(36, num_frames=16, size=64, occlusion=0.0, texture=0.15)
sample = source[0]
video, label = sample["video"], sample["label"]
print("shape", video.shape, "type", video.dtype, "values", video.min(), "to", video.max())
print("class", label, "is", source.class_names[label])
print("size", video.nbytes, "bytes =", 8 * video.nbytes, "bits")

# %%
eight = [source[index] for index in range(8)]
mk.show([s["video"] for s in eight], labels=[source.class_names[s["label"]] for s in eight], columns=4)

# %% [markdown]
# The most frequent mistake of all is a range that nobody checked: floats from 0 to 255, or from -1 to 1. A network
# trains on them without complaint and learns nothing useful. Everything in this library that takes pixels looks at
# their range first:

# %%
try:
    mk.metrics.psnr(video.astype("float32"), video.astype("float32"))
except ValueError as error:
    print(error)

# %% [markdown]
# ## Moving Shapes
#
# Real video data sets are large and need a licence or a long download. Moving Shapes are drawn from a seed. A class is
# a *shape* times a *motion*, so telling classes apart takes both a single frame and several. Clip number
# $i$ of a split depends on `(seed, split, i)` alone: it is the same on every machine, and the splits share no clip.

# %%
print(len(source.class_names), "classes:", ", ".join(source.class_names[:6]), "...")
again = MovingShapes(36, num_frames=16, size=64, occlusion=0.0, texture=0.15)
other = MovingShapes(36, num_frames=16, size=64, occlusion=0.0, texture=0.15, split="validation")
assert (again[7]["video"] == source[7]["video"]).all()
assert (other[7]["video"] != source[7]["video"]).any()

# %% [markdown]
# Two knobs set the difficulty: `texture`, the contrast of the patterns, and `occlusion`, how often something flies in
# front of the shape. What do they do to the same clip?

# %%
settings = {
    "plain": {"occlusion": 0.0, "texture": 0.0},
    "in this course": {"occlusion": 0.0, "texture": 0.15},
    "textured": {"occlusion": 0.0, "texture": 1.0},
    "occluded": {"occlusion": 1.0, "texture": 1.0},
}
mk.show({name: MovingShapes(3, 16, 64, **knobs)[2]["video"] for name, knobs in settings.items()})

# %% [markdown]
# ## Where does a clip change?
#
# A video model earns its keep by what changes. Measure the change at each pixel as the mean absolute difference of
# neighbouring frames,
#
# $$E_{hw} = \frac{1}{3(T-1)} \sum_{t=1}^{T-1} \sum_{c} \left| x_{t+1,hwc} - x_{thwc} \right| ,$$
#
# and average it over many clips of one motion. Which motions can you recognise from the map alone?

# %%
MOTIONS = ("left_right", "up_down", "diagonal", "orbit", "spin", "pulse")
per_motion = 4 if FAST else 20
by_motion = {
    motion: MovingShapes(per_motion, 16, 64, motions=[motion], occlusion=0.0, texture=0.15).arrays()["video"]
    for motion in MOTIONS
}
by_motion = {motion: videos.astype("float32") / 255 for motion, videos in by_motion.items()}
maps = {motion: np.abs(np.diff(clips, axis=1)).mean(axis=(0, 1, 4)) for motion, clips in by_motion.items()}

figure, axes = plt.subplots(1, 6, figsize=(12, 2.6), layout="constrained")
brightest = max(energy.max() for energy in maps.values())
for place, (motion, energy) in zip(axes, maps.items(), strict=True):
    image = place.imshow(energy, vmin=0, vmax=brightest, cmap="magma")
    place.set_title(f"{motion}\nmean {energy.mean():.3f}")
    place.set_axis_off()
figure.colorbar(image, ax=axes, label="$E$")
plt.show()

# %% [markdown]
# `orbit`, `spin` and `pulse` leave a disc or a ring in the middle. The three that travel look alike, because their
# starting points are spread over the frame: direction is not *where* pixels change but *how* they follow one another.
# Exercise 3 asks how far the maps alone take you.
#
# ## How predictable is the next frame?
#
# Frame prediction gives a model the first frames of a clip and asks for the rest. Before training anything, know what
# costs nothing. Given the frames up to $t$, predict the frame $k$ steps later by
#
# - repeating: $\hat{x}_{t+k} = x_t$;
# - extrapolating each pixel: $\hat{x}_{t+k} = x_t + k\,(x_t - x_{t-1})$;
# - the mean of what was seen: $\hat{x}_{t+k} = \frac{1}{t} \sum_{s\le t} x_s$.
#
# The usual measure is the peak signal-to-noise ratio, in decibels,
#
# $$\operatorname{PSNR}(x, \hat{x}) = -10 \log_{10} \frac{1}{3HW} \sum_{hwc} (x_{hwc} - \hat{x}_{hwc})^2 ,$$
#
# where 6 dB more is half the root mean squared error. Which of the three is best one frame ahead, and which after
# eight?

# %%
clips = np.concatenate(list(by_motion.values()))
given = 5
last, before = clips[:, given - 1], clips[:, given - 2]
lags = np.arange(1, 16 - given + 1)
predictions = {
    "repeat": lambda k: last,
    "extrapolate": lambda k: np.clip(last + k * (last - before), 0, 1),
    "mean": lambda k: clips[:, :given].mean(axis=1),
}


def frame_psnr(real, guess):
    return ops.convert_to_numpy(mk.metrics.psnr(real, guess))


scores = {}
for name, guess in predictions.items():
    scores[name] = np.stack([frame_psnr(clips[:, given - 1 + k], guess(k)) for k in lags])
figure, place = plt.subplots(figsize=(6, 3.4), layout="constrained")
for name, values in scores.items():  # (lags, clips)
    place.plot(lags, np.median(values, axis=1), label=name)
    place.fill_between(lags, *np.percentile(values, [25, 75], axis=1), alpha=0.15)
place.set(xlabel="frames ahead", ylabel="PSNR, dB", title=f"{len(clips)} clips: median, and the middle half")
place.legend()
plt.show()
for k in (1, 8):
    medians = [f"{name} {np.median(values[k - 1]):.1f} dB" for name, values in scores.items()]
    print(f"{k} ahead:", ", ".join(medians))

# %% [markdown]
# Extrapolating pixels is a bad idea: a moving edge changes a pixel once and then no more, and the straight line goes
# on. Between the other two, look closely. Repeating shows a sharp frame in which the shape is where it was; the mean
# shows a smear that is nowhere quite wrong. One frame ahead they are about level, and further ahead the smear wins:
# PSNR rewards blur and punishes a sharp frame that is some pixels off. This is why generated clips are measured by
# other means as well, see [lesson 8](08_evaluation.ipynb).
#
# Remember the curve of `repeat`: in [lesson 6](06_commit.ipynb) the last given frame, repeated, is the *condition* that
# the model starts from, and a model of any use lies above it.
#
# ## Is time or space cheaper to throw away?
#
# A tokenizer replaces a box of pixels by one token. The crudest one imaginable keeps the box's mean colour. It has no
# parameters, and it answers a question: with a fixed number of boxes, should they be long in time or wide in space?

# %%


def box_means(clips, box):
    """Each box of (frames, rows, columns) replaced by its mean."""
    t, s, _ = box
    n, frames, height, width, _ = clips.shape
    boxes = clips.reshape(n, frames // t, t, height // s, s, width // s, s, 3)
    return np.broadcast_to(boxes.mean(axis=(2, 4, 6), keepdims=True), boxes.shape).reshape(clips.shape)


figure, place = plt.subplots(figsize=(6, 3.6), layout="constrained")
curves = {}
for t in (1, 2, 4, 16):
    sizes = [s for s in (1, 2, 4, 8, 16, 32) if t * s > 1]
    curves[t] = {t * s * s: frame_psnr(clips, box_means(clips, (t, s, s))).mean() for s in sizes}
    place.plot(curves[t].keys(), curves[t].values(), "o-", label=f"{t} frame{'s' * (t > 1)} deep")
place.set_xscale("log", base=2)
place.set(xlabel="pixels in a box (fewer boxes to the right)", ylabel="PSNR, dB")
place.legend()
plt.show()
for pixels in (4, 16, 64, 256, 1024):
    found = {t: curve[pixels] for t, curve in curves.items() if pixels in curve}
    print(f"{pixels:4d} pixels in a box:", ", ".join(f"{value:.1f} dB if {t} deep" for t, value in found.items()))

# %% [markdown]
# Compare points on one vertical line: they store equally many numbers. As long as there are many, boxes should be small
# and one frame deep, since things move several pixels a frame. But boxes that grow in space alone soon swallow the
# shape itself. At about 64 pixels a box, depths of one to four frames are level, and from there on depth is the better
# way to spend them. All 16 frames in one box smear everything that moves, until hardly anything is left to smear. This
# is why MAGVIT's tokenizer works on clips and not on frames, and why it halves time less often than space.
#
# The paper's boxes are $4\times 8\times 8$ pixels for clips of $16\times 128\times 128$, and $4\times 4\times 4$ for
# clips of $16\times 64\times 64$. Either way $4\times 16\times 16 = 1024$ tokens are left. Each is one of 1024 codes,
# 10 bits, so that the larger clips become
#
# $$\frac{16\cdot 128\cdot 128\cdot 3\cdot 8\ \text{bits}}{1024\cdot 10\ \text{bits}} \approx 614$$
#
# times smaller. One mean colour at 8 bits a channel would already need 24 bits where the token has 10. How do mean
# colours look, in boxes of the two sizes?

# %%
four = np.stack([clips[number * per_motion + number] for number in range(4)])  # of four motions
mk.show({"clip": four, "4x4x4": box_means(four, (4, 4, 4)), "4x8x8": box_means(four, (4, 8, 8))})

# %% [markdown]
# Keep this picture too. In [lesson 3](03_video_tokenizer.ipynb) a trained tokenizer shows what boxes of
# $4\times 4\times 4$ pixels can say with 10 bits each.
#
# ## From clips to batches, and from files to clips
#
# Every source of the library behaves alike: `len`, an index, `class_names`, and `loader`, which shuffles and makes
# batches for `model.fit` on any backend. Your own videos are a source as well. Here are twelve clips written as files,
# in a folder for each class, and read back:

# %%
loader = source.loader(batch_size=4, shuffle=True, seed=0)
batch = loader[0]
print({name: (values.shape, str(values.dtype)) for name, values in batch.items()})

with tempfile.TemporaryDirectory() as folder:
    MovingShapes(12, 16, 64, occlusion=0.0, texture=0.15).write_videos(folder)
    files = VideoFolder(folder, num_frames=16, size=64)
    print(len(files), "files,", files.num_classes, "classes, the first is", pathlib.Path(files.name(0)).name)
    whole = files.for_evaluation()  # without random windows, crops and flips
    stored = {pathlib.Path(files.name(i)).stem: whole[i]["video"] for i in range(len(files))}
written = {pathlib.Path(source.name(i)).name: source[i]["video"] for i in range(len(stored))}
loss = np.mean([frame_psnr(written[name], stored[name]) for name in written])
print(f"after H.264: {loss:.1f} dB")

# %% [markdown]
# The files are compressed with loss, so the clips that come back are close to what was written and not equal to it.
# What you measure on real data always includes such losses; a model cannot be better than its data.
#
# ## Exercises
#
# **1. Bits.** How many times smaller do clips of $16\times 64\times 64$ become, with tokens of $4\times 4\times 4$
# pixels and 1024 codes? How large would the codebook have to be for *one* token a clip with the same number of bits?
#
# <details><summary>Solution</summary>
#
# ```python
# tokens = (16 // 4) * (64 // 4) * (64 // 4)
# bits = tokens * np.log2(1024)
# print(f"{tokens} tokens, {bits:.0f} bits, {16 * 64 * 64 * 3 * 8 / bits:.0f} times smaller")
# ```
#
# One token of 10240 bits would need $2^{10240}$ codes: the factorisation into many small tokens is what makes a
# codebook possible at all.
#
# </details>
#
# **2. A better straight line.** Damp the extrapolation: $\hat{x}_{t+k} = x_t + \alpha k (x_t - x_{t-1})$. Which
# $\alpha$ is best four frames ahead? What does its value tell you?
#
# <details><summary>Solution</summary>
#
# ```python
# k = 4
# for alpha in (-0.2, -0.1, -0.05, 0.0, 0.05, 0.1, 0.2, 1.0):
#     guess = np.clip(last + alpha * k * (last - before), 0, 1)
#     print(alpha, np.median(frame_psnr(clips[:, given - 1 + k], guess)).round(2))
# ```
#
# The best $\alpha$ is a little *below* 0: not a step further, but some of the frame before mixed in, the blur that PSNR
# rewards. What a pixel did last says nothing about what it does next. Motion is a property of things, not of pixels,
# and a model must learn to move things.
#
# </details>
#
# **3. Recognise the motion.** Classify clips into the six motions by the nearest mean map $E$. How often is it right,
# and which motions are confused?
#
# <details><summary>Solution</summary>
#
# ```python
# held_out = {
#     motion: MovingShapes(12, 16, 64, motions=[motion], occlusion=0.0, texture=0.15, split="test").arrays()["video"]
#     for motion in MOTIONS
# }
# means = np.stack([energy / energy.sum() for energy in maps.values()])  # (6, H, W)
# confusion = np.zeros((6, 6), int)
# for row, videos in enumerate(held_out.values()):
#     energy = np.abs(np.diff(videos.astype("float32") / 255, axis=1)).mean(axis=(1, 4))
#     energy /= energy.sum(axis=(1, 2), keepdims=True)
#     nearest = np.abs(energy[:, None] - means[None]).sum(axis=(2, 3)).argmin(axis=1)
#     confusion[row] = np.bincount(nearest, minlength=6)
# print(f"{np.trace(confusion) / confusion.sum():.0%} right, by chance {1 / 6:.0%}")
# print(confusion)
# ```
#
# Far better than chance and far from right: motions that travel are taken for one another, and those that stay in the
# middle are too.
# The library's own classifier, a small network that sees all frames, is right almost always
# (`mk.metrics.shapes_classifier()`).
#
# </details>
#
# **4. Three better numbers.** A box of $4\times 4\times 4$ pixels has 192 values; the mean colour keeps 3 numbers. Find
# the best 3 numbers that a linear map can keep, by principal components. How many dB do you gain?
#
# <details><summary>Solution</summary>
#
# ```python
# boxes = clips.reshape(len(clips), 4, 4, 16, 4, 16, 4, 3).transpose(0, 1, 3, 5, 2, 4, 6, 7).reshape(-1, 192)
# center = boxes.mean(axis=0)
# _, directions = np.linalg.eigh(np.cov((boxes - center).T))  # the largest last
# for count in (3, 8, 24):
#     top = directions[:, -count:]
#     error = np.mean((boxes - center - (boxes - center) @ top @ top.T) ** 2)
#     print(count, "numbers:", round(-10 * np.log10(error), 2), "dB of the mean error")
# error = np.mean((clips - box_means(clips, (4, 4, 4))) ** 2)
# print("mean colour:", round(-10 * np.log10(error), 2), "dB of the mean error")
# ```
#
# Three principal components do hardly better than the mean colour, because they nearly *are* the mean colour. To say
# more with as many numbers, the map must not be linear: edges have positions, and a sum of fixed patterns does not
# move.
#
# </details>
#
# ## Further reading
#
# - MAGVIT ([arXiv 2212.05199](https://arxiv.org/abs/2212.05199)): Sec. 3.1 for the sizes of clips and tokens, App. B.3
#   for how clips are cut out of each data set.
# - The data sets of the paper and their readers: "Published data sets" in the documentation, and
#   `magvit_keras/data/`.
# - Moving MNIST, an older built-in of this kind: Srivastava et al., *Unsupervised Learning of Video Representations
#   using LSTMs* ([arXiv 1502.04681](https://arxiv.org/abs/1502.04681)).
# - Next: [lesson 2](02_vector_quantization.ipynb), from numbers to codes.
