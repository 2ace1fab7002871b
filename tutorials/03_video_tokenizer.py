# %% [markdown]
# # 3. The 3D-VQ, inflation and padding
#
# [Lesson 2](02_vector_quantization.ipynb) made tokens of single pictures. MAGVIT's tokenizer, the *3D-VQ*, makes them
# of boxes of space and time. It is trained in two stages: first on pictures, which are plenty, then on clips, from
# weights that were *inflated* from two dimensions to three.
#
# **You will learn**
#
# - what a 3D-VQ saves against a 2D-VQ that looks at one frame at a time, and what that costs;
# - which frames a token depends on;
# - how central and average inflation work, when they are exact, and how much of a start they give;
# - what padding does at the borders, in time too, and to which shifts a tokenizer is blind.
#
# It goes with Sec. 3.1 and Table 7 of the paper and takes about 30 minutes.

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
import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import ops


def shapes(count, frames=16, size=64, split="validation", **options):
    """Clips (count, frames, size, size, 3), floats in [0, 1]."""
    source = mk.data.MovingShapes(count, frames, size, split=split, look="plain", **options)
    return source.arrays()["video"].astype("float32") / 255


def psnr(real, other):
    """Of every frame, in dB."""
    return ops.convert_to_numpy(mk.metrics.psnr(real, np.clip(other, 0, 1)))


def coded(tokenizer, clips, batch=4):
    """Tokens and reconstruction. Batches of one size, so that one compiled program serves for all of them."""
    parts = [tokenizer.encode(clips[i : i + batch]) for i in range(0, len(clips), batch)]
    ids = np.concatenate([ops.convert_to_numpy(part) for part in parts])
    return ids, np.concatenate([ops.convert_to_numpy(tokenizer.decode(part)) for part in parts])


# %% [markdown]
# ## Frame by frame, or clip by clip
#
# Both tokenizers below ship with the library and have the same widths. The 2D-VQ halves height and width twice: a token
# for $4\times 4$ pixels of one frame, out of 1024. The 3D-VQ also halves time twice: a token for $4\times 4\times 4$
# pixels, out of 4096, for there is more to tell. In the network, every $3\times 3$ convolution has become
# $3\times 3\times 3$.
#
# What does the 3D-VQ lose by sending a quarter of the tokens? Compare the PSNR, and also the PSNR of *changes*, of
# $\hat{x}_{t+1} - \hat{x}_t$ against $x_{t+1} - x_t$. It falls where a reconstruction flickers. For orientation there
# are the mean colours of the same boxes from [lesson 1](01_clips.ipynb), which need 24 bits a box where a token has
# 10 or 12.

# %%
image_tokenizer = mk.ImageTokenizer.from_preset("2dvq_tiny_moving_shapes")
tokenizer = mk.VideoTokenizer.from_preset("3dvq_tiny_moving_shapes")
clips = shapes(4 if FAST else 8)

tokens, decoded, sizes = {}, {}, {"4x4x4 means": 24 * 4 * 16 * 16}  # bits a clip
for name, model in (("2D-VQ", image_tokenizer), ("3D-VQ", tokenizer)):
    tokens[name], decoded[name] = coded(model, clips)
    sizes[name] = round(np.log2(model.codebook_size)) * tokens[name][0].size
boxes = clips.reshape(len(clips), 4, 4, 16, 4, 16, 4, 3)
means = np.broadcast_to(boxes.mean(axis=(2, 4, 6), keepdims=True), boxes.shape).reshape(clips.shape)

for name, other in {**decoded, "4x4x4 means": means}.items():
    changes = -10 * np.log10(np.mean((np.diff(other, axis=1) - np.diff(clips, axis=1)) ** 2))
    print(
        f"{name:12s} {sizes[name]:6d} bits a clip, PSNR {psnr(clips, other).mean():.1f} dB, of changes {changes:.1f} dB"
    )

# %%
shown = {"clip": clips[:4]} | {name: np.clip(other[:4], 0, 1) for name, other in decoded.items()}
mk.show({**shown, "4x4x4 means": means[:4]})

# %% [markdown]
# A quarter of the tokens makes a sequence four times as short for the transformer, whose attention then costs 16 times
# less. That is what the lower PSNR pays for. It need not stay lower: in the paper the 3D-VQ's reconstructions are
# nearer to real video than those of a 2D-VQ with four times the tokens (Fréchet distance 127 against 240, Table 7). A
# longer training of larger networks is one reason, the measure another: it looks at motion, and flicker is motion.
#
# ## Which frames does a token see?
#
# The grid suggests that the first slice of tokens stands for frames 0 to 3, the next for 4 to 7, and so on. But every
# convolution looks one frame further on both sides. Change one frame, mirror it say, and count in which slices of the
# token grid tokens change. Is a token about its own four frames only?

# %%
changed_ids = []
for start in range(0, 16, 4):
    batch = np.repeat(clips[:1], 4, axis=0)
    for i in range(4):
        batch[i, start + i] = batch[i, start + i, :, ::-1]
    changed_ids.append(ops.convert_to_numpy(tokenizer.encode(batch)))
share = (np.concatenate(changed_ids) != tokens["3D-VQ"][:1]).mean(axis=(2, 3))  # (16 frames, 4 slices)

figure, place = plt.subplots(figsize=(7, 2.4), layout="constrained")
image = place.imshow(share.T, cmap="viridis", vmin=0, aspect="auto")
place.set(xlabel="mirrored frame", ylabel="slice of the token grid", xticks=range(16), yticks=range(4))
figure.colorbar(image, label="share of tokens\nthat change")
plt.show()

# %% [markdown]
# Mostly yes: the blocks on the diagonal are bright. But neighbouring slices change as well, in both directions of time.
# The 3D-VQ is not causal. When MAGVIT predicts frames, it must not tokenize the given frames together with frames that
# it is not allowed to know; this is why a *condition* is made of pixels first and tokenized afterwards
# ([lesson 6](06_commit.ipynb)). Its successor MAGVIT-v2 made the convolutions causal instead.
#
# ## Inflation
#
# Let $W \in \mathbb{R}^{k\times k\times c\times c'}$ be a kernel of the trained 2D-VQ. The 3D kernel
# $V \in \mathbb{R}^{k\times k\times k\times c\times c'}$ starts as
#
# $$\text{central:}\quad V_{\tau} = \begin{cases} W & \tau = \lfloor k/2 \rfloor \\ 0 & \text{otherwise} \end{cases}
#   \qquad\qquad \text{average:}\quad V_{\tau} = \tfrac{1}{k} W .$$
#
# A centrally inflated network is the 2D network applied to every frame; an average one is the 2D network applied to a
# moving average. Biases, norms and the codebook are copied. On a *static* clip, all frames equal, both should give the
# 2D-VQ's tokens in every slice. On a clip that moves, pooling in time mixes different frames, and a network that never
# saw motion has to do with what comes out. How good is it, before any training?

# %%
keras.utils.set_random_seed(0)
with_1024_codes = {**tokenizer.get_config(), "codebook_size": image_tokenizer.codebook_size}
inflated = mk.VideoTokenizer.from_config(with_1024_codes)  # a 3D-VQ that can take the codes of the 2D-VQ
random_weights = inflated.get_weights()
static = np.repeat(clips[:4, :1], 16, axis=1)
static_ids = ops.convert_to_numpy(image_tokenizer.encode(static))[:, :4]


def start_from(mode):
    """The weights that a 3D-VQ starts from; the same object every time, so that nothing is compiled again."""
    inflated.set_weights(random_weights)
    if mode != "scratch":
        mk.inflate(image_tokenizer, inflated, mode=mode)
    return inflated


for mode in ("central", "average", "scratch"):
    same = (ops.convert_to_numpy(start_from(mode).encode(static)) == static_ids).mean()
    decoded[mode] = coded(inflated, clips)[1]
    print(f"{mode:8s} static: {same:4.0%} of the 2D-VQ's tokens; moving: {psnr(clips, decoded[mode]).mean():.1f} dB")

# %%
mk.show({name: np.clip(decoded[name][:4], 0, 1) for name in ("central", "average", "scratch")})

# %% [markdown]
# The inflated networks already show something like the clips, at no cost: four frames are blended where things move.
#
# Now train each for the same steps on the same windows of $8\times 32\times 32$ pixels, in the same order. Every window
# is used once, and its PSNR is taken before the step that learns from it; so the curve is one of unseen clips. Is a
# good start still ahead at the end?

# %%
steps, block = (12, 4) if FAST else (80, 8)
windows = shapes(2 * steps, frames=8, size=64, split="train")[:, :, 16:48, 16:48]
inflated.compile(optimizer=keras.optimizers.Adam(5e-4))
inflated.optimizer.build(inflated.trainable_variables)
fresh = [ops.convert_to_numpy(variable) for variable in inflated.optimizer.variables]

curves = {}
for mode in ("central", "average", "scratch"):
    start_from(mode)
    for variable, value in zip(inflated.optimizer.variables, fresh, strict=True):
        variable.assign(value)
    curves[mode] = [
        inflated.fit(windows[i : i + 2 * block], batch_size=2, shuffle=False, verbose=0).history["psnr"][0]
        for i in range(0, len(windows), 2 * block)
    ]

figure, place = plt.subplots(figsize=(6, 3.4), layout="constrained")
for mode, values in curves.items():
    place.plot(np.arange(1, len(values) + 1) * block, values, "o-", label=mode)
place.set(xlabel="step", ylabel="PSNR, dB", title=f"Mean over {2 * block} windows not seen before")
place.legend()
plt.show()

# %% [markdown]
# The curves wobble because each point is the mean of a few windows, and some windows are easier than others; they
# wobble *together*, since all three see the same windows. Compare them at one step, not across steps.
#
# After so few steps a start from scratch cannot have caught up. Does it ever? The paper trains to the end and measures
# the Fréchet video distance of reconstructions on UCF-101 (Table 7, lower is better): 127 from scratch, 103 with
# average and 58 with central inflation. The small version with three seeds and longer training is on the
# documentation's page "Inflation": there central is first in every seed, and average is not always ahead of scratch.
# Inflation is not free either: the 2D-VQ had to be trained first.
#
# ## Padding
#
# A convolution at the border needs pixels that are not there. *Zero padding* invents black ones (after the first layer:
# zeros in every channel); *reflect padding* mirrors the ones that are there. The authors' released configurations use
# zeros; the paper's Sec. 3.1 replaces them by reflection. The weights have the same shapes, so you can put the same
# weights into both and see what padding alone does.
#
# Show a grey picture to each. All of its pixels are equal. Are all of its tokens?

# %%
paddings = {"reflect": image_tokenizer}
for padding in ("same", "wrap"):
    paddings[padding] = mk.ImageTokenizer.from_config({**image_tokenizer.get_config(), "padding": padding})
    paddings[padding].set_weights(image_tokenizer.get_weights())

grey = np.full((8, 64, 64, 3), 0.5, "float32")
grey_ids = {name: ops.convert_to_numpy(model.encode(grey))[0] for name, model in paddings.items()}
for name, ids in grey_ids.items():
    print(f"{name:8s} {len(np.unique(ids)):3d} different tokens")
grey_maps = [mk.visualize.token_map(ids[None], 1024)[0] for ids in grey_ids.values()]
mk.show(grey_maps, labels=["reflect", "same (zeros)", "wrap"], fps=0, columns=3)

# %% [markdown]
# With zeros the network sees a frame around the picture, and the tokens along the border say so. A trained network can
# get used to that, but it spends codes on it: a thing near the border gets other tokens than one in the middle.
# With reflection (or by wrapping around) a constant picture stays constant in every layer, whatever the weights are.
#
# The same happens in *time*, to which inflation is sensitive. Take average inflation on a static clip again, with the
# two paddings, and compare each decoded frame with the 2D-VQ's:

# %%
expected = ops.convert_to_numpy(image_tokenizer.decode(static_ids[:, 0]))  # (4, 64, 64, 3)
differences = {}
for padding in ("reflect", "same"):
    two_d = paddings[padding]
    expected = ops.convert_to_numpy(two_d.decode(two_d.encode(np.repeat(static[:, 0], 2, axis=0))))[::2]
    three_d = mk.VideoTokenizer.from_config({**with_1024_codes, "padding": padding})
    mk.inflate(two_d, three_d, mode="average")
    difference = coded(three_d, static)[1] - expected[:, None]
    differences[padding] = np.sqrt(np.mean(difference**2, axis=(0, 2, 3, 4)))

figure, place = plt.subplots(figsize=(6, 3), layout="constrained")
for padding, values in differences.items():
    place.plot(values, "o-", label="same (zeros)" if padding == "same" else padding)
place.set(xlabel="frame of a static clip", ylabel="RMS difference\nfrom the 2D-VQ", title="Average inflation")
place.legend()
plt.show()

# %% [markdown]
# With reflection the difference is rounding: the inflated network *is* the 2D-VQ on a static clip. With zeros, the
# first and the last frame of every layer add up only two thirds of the kernel. The error starts at the two ends of the
# clip, and layer by layer it grows inwards.
#
# ## Shifts
#
# If a picture moves by four pixels, its tokens should move by one place and otherwise stay: *translation equivariance*.
# Cut windows out of a larger picture, further and further to the right, and compare what is decoded where they overlap.
# To which shifts is the tokenizer equivariant?

# %%
large = shapes(8, frames=1, size=96)[:, 0]
shifts = range(0, 17, 4 if FAST else 1)
agreement = {}
for name in ("reflect", "same"):
    ids, again = {}, {}
    for s in shifts:
        ids[s], again[s] = coded(paddings[name], large[:, 16:80, 8 + s : 72 + s], batch=8)
    agreement[name] = [
        -10 * np.log10(np.mean((again[0][:, 20:44, 20 + s : 44] - again[s][:, 20:44, 20 : 44 - s]) ** 2))
        for s in shifts[1:]
    ]
    for s in (4, 8):
        same = ids[0][:, :, s // 4 :] == ids[s][:, :, : 16 - s // 4]
        middle = same[:, 4:12, 4 : 12 - s // 4]
        print(f"{name:8s} shift {s}: {same.mean():.0%} of all tokens move along, in the middle {middle.mean():.0%}")

figure, place = plt.subplots(figsize=(6, 3.2), layout="constrained")
for name, values in agreement.items():
    place.plot(shifts[1:], values, "o-", label="same (zeros)" if name == "same" else name)
place.set(xlabel="shift in pixels", ylabel="agreement in the middle\nof the picture, dB", xticks=range(0, 17, 4))
place.legend()
plt.show()

rolled = np.roll(large[:, 16:80, 16:80], 4, axis=2)
before, after = (ops.convert_to_numpy(paddings["wrap"].encode(x)) for x in (large[:, 16:80, 16:80], rolled))
print(f"wrap, rolled by 4: {(np.roll(before, 1, axis=2) == after).mean():.1%} of all tokens move along")

# %% [markdown]
# To multiples of four pixels, and even there not exactly. The size of the box is built in: a picture that moves by one
# pixel falls differently into boxes, and its tokens change altogether. For whole boxes three things remain that tell
# one place from another: what the padding invents, which reaches some tokens inwards; and GroupNorm, whose mean and
# variance are those of the whole window, and a moved window holds other pixels. Wrap padding on a picture that is
# rolled around has neither, and there *every* token moves along.
#
# For video, this is more than a curiosity. A background that drifts by a pixel a frame changes all of its tokens all of
# the time, though nothing happens. The transformer has to learn that.
#
# ## Exercises
#
# **1. Parameters and work.** How many times more parameters has the inflated 3D-VQ than the 2D-VQ, and why not three times?
#
# <details><summary>Solution</summary>
#
# ```python
# print(inflated.count_params() / image_tokenizer.count_params())
# ones = [np.prod(w.shape) for w in image_tokenizer.weights if len(w.shape) == 4 and w.shape[0] == 1]
# print("in 1x1 kernels:", sum(ones), "in the codebook:", 1024 * inflated.embedding_dim)
# ```
#
# Kernels of $3\times 3$ become $3\times 3\times 3$, three times as many; $1\times 1$ kernels, biases, norms and the
# codebook stay what they are.
#
# </details>
#
# **2. Half inflated.** Central and average inflation are two points of a family: $V = (a, 1 - 2a, a)\, W$ over the
# three slices of time, with $a = 0$ and $a = 1/3$. Try $a = 1/6$ on the moving clips before training. Is it between the
# two?
#
# <details><summary>Solution</summary>
#
# ```python
# start_from("central")
# central = inflated.get_weights()
# start_from("average")
# average = inflated.get_weights()
# inflated.set_weights([(c + m) / 2 for c, m in zip(central, average, strict=True)])
# print(f"half way: {psnr(clips, coded(inflated, clips)[1]).mean():.1f} dB")
# ```
#
# The mean of the two sets of weights is that kernel, $a = (0 + 1/3) / 2$, and what was copied is the same in both. The
# networks are not linear, so nothing says that the result must lie between; see for yourself.
#
# </details>
#
# **3. How far does padding reach?** From the picture of the tokens of a grey image: how many tokens inwards does zero
# padding reach? Compare with the receptive field of the encoder, counted by hand.
#
# <details><summary>Solution</summary>
#
# ```python
# ids = grey_ids["same"]
# inside = ids[8, 8]
# print("the first column, row 8, that looks like the middle:", np.argmax(ids[8] == inside))
# ```
#
# Each $3\times 3$ convolution reaches one cell further at its own scale. At full size the encoder has a first
# convolution and a block of two: 3 pixels. After halving, a block of two: $2\cdot 2$ pixels; after halving again, its
# blocks and the last convolutions: $4$ pixels each. That is several tokens in all, and usually more than the *visible*
# rings, since what arrives from far is weak and changes the nearest code only now and then. GroupNorm mixes in
# everything, but here equally everywhere.
#
# </details>
#
# **4. Does zero padding hurt after training?** Train two small 2D tokenizers from scratch, one with each padding, and
# compare the error at the border with that in the middle. Judge by the ratio; what would you need to be sure?
#
# <details><summary>Solution</summary>
#
# ```python
# sizes = {"filters": 16, "channel_multipliers": (1, 2), "num_res_blocks": 1, "embedding_dim": 8, "codebook_size": 256}
# frames, held_out = (shapes(16 if FAST else 512, 1, 32, split=s)[:, 0] for s in ("train", "validation"))
# for padding in ("reflect", "same"):
#     keras.utils.set_random_seed(0)
#     small = mk.ImageTokenizer(padding=padding, norm_groups=1, **sizes)
#     small.compile(optimizer=keras.optimizers.Adam(2e-3))
#     small.fit(frames, batch_size=8, epochs=1 if FAST else 4, verbose=0)
#     error = np.mean((coded(small, held_out, batch=16)[1] - held_out) ** 2, axis=(0, 3))
#     border = np.ones((32, 32), bool)
#     border[2:-2, 2:-2] = False
#     print(f"{padding:8s} border {error[border].mean():.5f} middle {error[~border].mean():.5f}")
# ```
#
# One seed each, a short training, and the border is also where less happens in this data, so that its error is lower
# to begin with. Compare the ratio of border to middle between the two paddings, over several seeds, before you say
# anything. That care is the point of the exercise.
#
# </details>
#
# ## Further reading
#
# - MAGVIT ([arXiv 2212.05199](https://arxiv.org/abs/2212.05199)), Sec. 3.1 for architecture, inflation and padding;
#   Table 7 for the comparison; App. A.1 for the networks. Files: `magvit_keras/tokenizer/inflation.py`,
#   `magvit_keras/layers/padding.py`.
# - Carreira and Zisserman, *Quo Vadis, Action Recognition?* ([arXiv 1705.07750](https://arxiv.org/abs/1705.07750)),
#   where inflation comes from (average, in our words).
# - Islam et al., *How much position information do convolutional neural networks encode?*
#   ([arXiv 2001.08248](https://arxiv.org/abs/2001.08248)): networks read their position off zero padding.
# - Zhang, *Making convolutional networks shift-invariant again* ([arXiv 1904.11486](https://arxiv.org/abs/1904.11486)).
# - MAGVIT-v2 ([arXiv 2310.05737](https://arxiv.org/abs/2310.05737)), Sec. 3.2: the causal 3D tokenizer.
# - Next: [lesson 4](04_adversarial_training.ipynb), what makes reconstructions sharp.
