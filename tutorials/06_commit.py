# %% [markdown]
# # 6. COMMIT and the ten tasks
#
# A masked transformer fills in what is missing. Frame prediction, interpolation, inpainting, outpainting: each of them
# says that some pixels are given and the others are missing. It sounds as if one model could do all of them by
# masking the right tokens. It cannot, and the reason why is the idea of MAGVIT: COMMIT, *conditional masked modelling
# by interior tokens*.
#
# **You will learn**
#
# - the ten tasks, what each gives and how it pads the rest;
# - why the token of a fully given patch is not the token that this patch has in the real clip;
# - what therefore goes wrong when the condition is kept as a latent mask, and what a fixed prefix costs (Table 5);
# - the multivariate mask $m(z\mid\tilde z)$ of Eq. 2, the three kinds of tokens, and the loss of Eq. 3-4;
# - task prompts and class prompts, and what the class changes;
# - all ten tasks from one model, beside their conditions and the truth.
#
# About 30 minutes. It covers Sec. 3.2, Table 5 and appendix B.1 of the paper. Decoding is the topic of [lesson
# 7](07_decoding.ipynb); here you only call `generate`.

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

from magvit_keras.commit.conditions import condition
from magvit_keras.commit.losses import cross_entropy
from magvit_keras.commit.masking import LOSS_PARTS, multivariate_mask

keras.utils.set_random_seed(0)

# %% [markdown]
# ## The model and some clips
#
# `magvit_tiny_moving_shapes` comes with the package: a 3D-VQ that turns 16x64x64 pixels into 4x16x16 tokens, and a
# small masked transformer that was trained on the ten tasks together. The clips are from the split "test", which it
# has not seen.

# %%
magvit = mk.Magvit.from_preset("magvit_tiny_moving_shapes")
tokenizer, latent_shape = magvit.tokenizer, magvit.latent_shape
COUNT = 1 if FAST else 2
data = mk.data.MovingShapes(COUNT, 16, 64, split="test", look="grid").arrays()
clips, labels = data["video"] / np.float32(255), data["label"]


def encode(video):
    return ops.convert_to_numpy(tokenizer.encode(video))


def decode(ids):
    return np.clip(ops.convert_to_numpy(tokenizer.decode(ids)), 0, 1)


z = encode(clips)
print(
    f"{clips.shape[1:4]} pixels -> {z.shape[1:]} tokens; {len(magvit.tasks)} tasks; {len(magvit.class_names)} classes"
)
print("The clips show", ", ".join(magvit.class_names[label] for label in labels))

# %% [markdown]
# ## Ten tasks, ten conditions
#
# The tokenizer takes whole clips and nothing else. So a condition, whatever its form, is first turned into a whole clip
# $\tilde V$: the given pixels stay, the others are **padded** (appendix B.1). Frame prediction repeats the last given
# frame; interpolation blends the two ends linearly; outpainting continues the edge of the region; where the region
# moves, and for inpainting, the rest is black. What do the ten conditions of one clip look like?

# %%
conditions = {name: condition(clips, task, latent_shape) for name, task in magvit.tasks.items()}
padded = {name: ops.convert_to_numpy(c.video) for name, c in conditions.items()}
short = {name: name.replace("class_conditional", "class-cond.").replace("_", " ") for name in conditions}
mk.show([clips[0], *(p[0] for p in padded.values())], labels=["the clip", *short.values()], columns=4)

# %% [markdown]
# Two masks follow from the task. In pixels, `is_condition` says what is given. On the latent grid, `ispad` (the paper's
# word) says which tokens of $\tilde V$ show padding *only*. How much does each task leave to the model?

# %%
print(f"{'task':36s} {'padding':12s} {'pixels given':>12s} {'tokens with a given pixel':>26s}")
for name, task in magvit.tasks.items():
    given, touched = conditions[name].is_condition.mean(), 1 - conditions[name].ispad.mean()
    print(f"{name:36s} {task.padding:12s} {given:12.0%} {touched:26.0%}")

# %% [markdown]
# The two shares differ for the tasks that give frames. Five of 16 frames are 31 % of the pixels, but they touch two
# of the four latent frames, and the second one shares its tokens between one given frame and three padded ones. Such
# tokens are a mixture, and so the question is what they are worth.

# %% [markdown]
# ## A token knows its surroundings
#
# Let $z$ be the tokens of the real clip and $\tilde z$ those of the condition clip $\tilde V$. Take a token whose whole
# patch of 4x4x4 pixels is given. Its pixels are the same in both clips. Is $\tilde z_i=z_i$?
#
# It need not be. The encoder's convolutions reach far beyond the patch, over its neighbours and into the padding; and
# each GroupNorm divides by a variance that is taken over the *whole* clip, so that even a remote black region is felt
# everywhere. How often do the tokens agree, and where?

# %%
z_condition = {name: encode(p) for name, p in padded.items()}
cells = [pixels // tokens for pixels, tokens in zip(magvit.video_shape, latent_shape, strict=True)]


def fully_given(is_condition):
    """(t,h,w): whether all pixels of a token's patch are given."""
    (t, h, w), (pt, ph, pw) = latent_shape, cells
    return is_condition.reshape(t, pt, h, ph, w, pw).all(axis=(1, 3, 5))


agreement = {}
for name, c in conditions.items():
    whole = fully_given(c.is_condition)
    if whole.any():
        agreement[name] = float((z_condition[name] == z)[:, whole].mean())

shown = "central_outpainting"
figure, axes = plt.subplots(1, 5, figsize=(12, 3.2), layout="constrained", width_ratios=[2.2, 1, 1, 1, 1])
axes[0].barh([short[name] for name in agreement], list(agreement.values()))
axes[0].set(xlim=(0, 1), title="tokens of given patches that agree")
axes[0].invert_yaxis()
maps = np.where(fully_given(conditions[shown].is_condition), (z_condition[shown] == z).mean(axis=0), np.nan)
for t, axis in enumerate(axes[1:]):
    axis.imshow(maps[t], vmin=0, vmax=1, cmap="viridis")
    axis.set(title=f"{short[shown]}, t={t}", xticks=[], yticks=[])
    axis.title.set_fontsize(8)
plt.show()

# %% [markdown]
# All these patches are *given to the last pixel*. Where the padding continues what is given, most of their tokens agree,
# and those that do not lie at the shape and the border. Next to black padding hardly any agrees: the whole clip has
# another mean and variance now. The maps show the given tokens of one task, bright where they agree in all clips; white
# is what is not given.
#
# So $\tilde z$ says much about $z$, but it is not a part of $z$. Table 5 of the paper compares three ways to use it.

# %% [markdown]
# ## Two ways that do not work well
#
# **Latent masking** does what works for images: keep the tokens of the condition, mask and predict the others, and
# decode both together. Then the result holds $\tilde z_i$ at the given places. Suppose that the transformer were
# *perfect* and predicted every other token right, as in $z$. Would the clip come out right? You need no training to
# answer that: mix the two by hand and decode. The dots are the tokenizer's own reconstruction, the best one can do.


# %%
def psnr(a, b):
    return float(-10 * np.log10(np.mean((a - b) ** 2) + 1e-10))


best = psnr(decode(z), clips)
mixed = {name: decode(np.where(conditions[name].ispad, z, z_condition[name])) for name in agreement}
_, axis = plt.subplots(figsize=(8, 3), layout="constrained")
axis.barh([short[name] for name in mixed], [psnr(video, clips) for video in mixed.values()])
axis.axvline(best, color="k", ls=":", label="tokenizer alone")
axis.set(title="perfect prediction under latent masking", xlabel="PSNR of the decoded clip (dB)")
axis.invert_yaxis()
axis.legend()
plt.show()

worst = min(mixed, key=lambda name: psnr(mixed[name], clips))
pictures = {"the clip": clips[0], "tokens z": decode(z)[0], f"latent mask: {short[worst]}": mixed[worst][0]}
mk.show(pictures, scale=2)

# %% [markdown]
# The decoder needs tokens that belong together. Next to tokens of the real clip, tokens that were made with padding in
# sight say the wrong thing: frames blended with copies of themselves, seams and dark edges where the black padding
# shone through. Not even a perfect transformer can mend this, because it is not allowed to touch those tokens.
#
# **A fixed prefix** leaves $z$ alone and puts the condition *before* it: $[\text{prompt}, \text{class},
# \tilde z_\text{given}, z]$. All of $z$ is predicted and consistent. But the sequence grows with the condition, by
# another length for each task, and attention pays for the square of it:

# %%
length = z[0].size
print(f"{'task':36s} {'prefix condition':>17s} {'COMMIT':>7s} {'attention':>10s}")
for name, c in conditions.items():
    longer = 2 + length + int((~c.ispad).sum())
    print(f"{name:36s} {longer:17d} {2 + length:7d} {(longer / (2 + length)) ** 2:9.1f}x")

# %% [markdown]
# Different lengths also mean different programs: the ten tasks cannot share a batch. The paper has this row in Table 5
# for frame prediction only, for that reason.

# %% [markdown]
# ## The multivariate mask
#
# COMMIT puts the condition *inside*: a condition token stands exactly where its patch is, **as long as the true token
# there is unknown**, and may be overwritten like any other. Draw a score $s_i$ for each position, and let $s^*$ be the
# score below which a share of the tokens lies. Then Eq. 2 is
#
# $$m(z_i\mid\tilde z_i)=\begin{cases}
# \tilde z_i & \text{if } s_i\le s^* \text{ and not } \mathrm{ispad}(\tilde z_i) \\
# [\mathrm{MASK}] & \text{if } s_i\le s^* \text{ and } \mathrm{ispad}(\tilde z_i) \\
# z_i & \text{if } s_i>s^*.\end{cases}$$
#
# In NumPy it is four lines. Do they do what the library does?


# %%
def mask_by_hand(z, z_condition, ispad, ratio, score, mask_id):
    count = max(1, int(np.float32(ratio) * np.float32(z.size)))
    replaced = score <= np.sort(score)[count - 1]  # s_i <= s*
    interior = np.where(ispad, mask_id, z_condition)  # what stands in for an unknown token
    return np.where(replaced, interior, z)


rng = np.random.default_rng(0)
score = rng.random((1, length)).astype("float32")
arguments = z[:1].reshape(1, -1), z_condition[shown][:1].reshape(1, -1), conditions[shown].ispad.reshape(1, -1)
masked = multivariate_mask(*arguments, ratio=0.6, score=score, mask_id=magvit.vocabulary.mask_id)
by_hand = mask_by_hand(*(a[0] for a in arguments), 0.6, score[0], magvit.vocabulary.mask_id)
print("equal:", bool((ops.convert_to_numpy(masked.ids)[0] == by_hand).all()))

# %% [markdown]
# The network is asked for the *true* token $z_i$ at every position, so that the three cases are three things to learn:
#
# | seen at $i$ | to be predicted | loss |
# |---|---|---|
# | $\tilde z_i$ | $z_i$ | $\mathcal L_\text{refine}$: correct the condition token |
# | $[\mathrm{MASK}]$ | $z_i$ | $\mathcal L_\text{mask}$: invent it |
# | $z_i$ | $z_i$ | $\mathcal L_\text{recons}$: leave it as it is |
#
# With the task prompt $\rho$ and the class $c$ in front, the loss is the sum of the three (Eq. 3-4):
#
# $$\mathcal L = \mathcal L_\text{refine}+\mathcal L_\text{mask}+\mathcal L_\text{recons}, \qquad \text{each }
# \mathbb{E}\sum_{i}-\log p_\theta\left(z_i\mid[\rho,\,c,\,\bar z]\right) \text{ over its positions}, \quad
# \bar z=m(z\mid\tilde z).$$
#
# Where do the three kinds lie, for a share of 0.6?

# %%
parts = ops.convert_to_numpy(masked.parts).reshape(latent_shape)
colours = plt.matplotlib.colors.ListedColormap(["#E69F00", "#777777", "#0072B2"])  # refine, mask, reconstruct
_, axes = plt.subplots(1, 4, figsize=(10, 2.8), layout="constrained")
for t, axis in enumerate(axes):
    axis.imshow(parts[t], cmap=colours, vmin=0, vmax=2)
    axis.set(title=f"t={t}", xticks=[], yticks=[])
handles = [plt.matplotlib.patches.Patch(color=colours(i / 2), label=name) for name, i in LOSS_PARTS.items()]
axes[0].legend(handles=handles, loc="upper left", fontsize=7)
plt.show()

# %% [markdown]
# Which of the three is hard? That depends on how much is masked. `magvit.predict_on_batch` takes sequences $[\rho, c,
# \bar z]$ and returns the logits of all latents. The following asks for the accuracy and the cross-entropy of each part
# at several shares, in the task of the picture:


# %%
def sequence(task, ids, label=-1):
    """[task prompt, class, latents], int32 (B, 2 + N); a label of -1 stands for no class."""
    vocabulary, size = magvit.vocabulary, len(ids)
    prompts = np.full(size, vocabulary.prompt_id(task), "int32")
    prefix = vocabulary.prefix(prompts, vocabulary.class_ids(np.full(size, label)))
    return np.concatenate([ops.convert_to_numpy(prefix), ops.convert_to_numpy(ids).reshape(size, -1)], axis=1)


shares = (0.1, 0.9) if FAST else (0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
targets = z.reshape(COUNT, -1)
loss_of, accuracy_of = ({part: [] for part in LOSS_PARTS} for _ in range(2))
for share in shares:
    arguments = targets, z_condition[shown].reshape(COUNT, -1), conditions[shown].ispad.reshape(1, -1)
    score = rng.random((COUNT, length))
    masked = multivariate_mask(*arguments, ratio=share, score=score, mask_id=magvit.vocabulary.mask_id)
    logits = magvit.predict_on_batch(sequence(shown, masked.ids))
    values, parts = (ops.convert_to_numpy(x) for x in (cross_entropy(logits, targets), masked.parts))
    right = logits.argmax(axis=-1) == targets
    for part, number in LOSS_PARTS.items():
        here = parts == number
        loss_of[part].append(values[here].mean() if here.any() else np.nan)
        accuracy_of[part].append(right[here].mean() if here.any() else np.nan)

_, axes = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
for number, part in enumerate(LOSS_PARTS):
    axes[0].plot(shares, loss_of[part], "o-", color=colours(number / 2), label=part)
    axes[1].plot(shares, accuracy_of[part], "o-", color=colours(number / 2), label=part)
axes[0].axhline(np.log(tokenizer.codebook_size), color="grey", ls=":", label="guessing")
axes[0].set(title="cross-entropy (nats)", xlabel="share of tokens replaced")
axes[1].set(title="accuracy", xlabel="share of tokens replaced", ylim=(0, 1.02))
axes[0].legend(fontsize=8)
plt.show()

# %% [markdown]
# *Reconstruct* is the easy part: the answer is on the table, and copying it is all there is to learn. The other two are
# hard, and which of them is harder depends on what lies there. *Mask* has to be invented, but far from the middle most
# tokens of these clips show the ground, which is soon known. *Refine* has a strong hint that must be corrected, and the
# shape in the middle to correct it for. The easy part is not idle, though. In Table 5 the mask loss alone reaches an FVD
# of 388 on frame prediction; with the reconstruction part it is 51, with all three 48 (and 143, 53, 33 for eight tasks
# together). A network that is only ever asked about `[MASK]` has no reason to make sense of the other positions, and
# decoding overwrites condition tokens by its answers there.

# %% [markdown]
# ## Prompts
#
# Two tokens stand before the latents. The first names the task: the condition alone does not always say it. (A frame
# that is followed by copies of itself could be a frame prediction, or a video in which nothing moves.) The second is
# the class, or "no class". They share one vocabulary with the codes:

# %%
vocabulary = magvit.vocabulary
print(f"codes 0..{vocabulary.codebook_size - 1}, then {vocabulary.num_classes} classes")
print(f"no class {vocabulary.no_class_id}, [MASK] {vocabulary.mask_id}, {vocabulary.size} rows in all")
for name in magvit.tasks:
    print(f"{vocabulary.prompt_id(name):5d}  {name}")

# %% [markdown]
# What does the class change? Give the model one and the same first frame, and two classes that move it differently. Do
# the two clips move as their names say?

# %%
num_steps = 4 if FAST else 12
shape = magvit.class_names[labels[0]].split("_")[0]
motions = [f"{shape}_left_right", f"{shape}_up_down"][:COUNT]
same_start = np.stack([clips[0]] * COUNT)
made = magvit.generate("class_conditional_frame_prediction", video=same_start, label=motions, num_steps=num_steps)
mk.show([clips[0], *made], labels=["the clip", *motions], columns=3)

# %% [markdown]
# Both start from the frame of the first clip, and nothing but one token of the sequence tells them apart. A model as small
# as this one follows the class in some clips and not in others; `mk.metrics.shapes_accuracy` counts how often.

# %% [markdown]
# ## All ten
#
# One call for each task. `generate` cuts the condition out of `video`, so that you can hand it the whole clip; only
# what the task gives is looked at.

# %%
results = {}
for name, task in magvit.tasks.items():
    label = labels if task.needs_class else None
    results[name] = magvit.generate(name, video=clips, label=label, num_steps=num_steps, seed=1)

names = list(magvit.tasks)
rows = {
    "condition": [padded[name][0] for name in names],
    "generated": [results[name][0] for name in names],
    "truth": [clips[0]] * len(names),
}
mk.show(rows, labels=[short[name] for name in names], columns=5, scale=2)

# %% [markdown]
# Read the columns from top to bottom. The truth is *one* possible answer. Inpainting has little freedom, so compare it
# with the truth; class-conditional generation sees no pixel and only has to show the class. So the error against the truth is a
# fair score only where the condition pins the answer down, and even there the padding is a rival worth beating:
# repeating the last frame is a decent guess of the next one. Where the model has to fill in pixels, is it closer to the
# truth than the padded condition?

# %%
_, axis = plt.subplots(figsize=(8, 3.4), layout="constrained")
scored = [name for name in names if conditions[name].is_condition.any()]
for offset, (what, videos) in enumerate({"padded condition": padded, "generated": results}.items()):
    missing = {name: ~conditions[name].is_condition for name in scored}
    values = [psnr(videos[name][:, missing[name]], clips[:, missing[name]]) for name in scored]
    axis.barh(np.arange(len(scored)) + 0.38 * offset, values, height=0.36, label=what)
axis.axvline(best, color="k", ls=":", label="tokenizer alone (whole clip)")
axis.set(
    yticks=np.arange(len(scored)) + 0.19,
    yticklabels=[short[n] for n in scored],
    xlabel="PSNR of the missing pixels (dB)",
)
axis.invert_yaxis()
axis.legend(fontsize=8)
plt.show()

# %% [markdown]
# PSNR is a harsh judge of a sample: a shape that is sharp but two pixels off scores worse than a smear. [Lesson
# 8](08_evaluation.ipynb) is about better judges.

# %% [markdown]
# ## Exercises
#
# **1.** A task is data, not code. Make one that gives the first and the last *three* frames, look at its condition and
# generate it. Which share of the tokens does it leave to the model?
#
# <details><summary>Solution</summary>
#
# ```python
# task = mk.TASKS["frame_interpolation"].with_frames(3)
# c = condition(clips, task, latent_shape)
# print("tokens that show padding only:", c.ispad.mean())
# made = magvit.generate(task, video=clips, num_steps=num_steps)
# mk.show({"condition": ops.convert_to_numpy(c.video)[0], "generated": made[0], "truth": clips[0]})
# ```
#
# Three frames fit into one latent frame of four, so that it is half of the tokens, as with one frame at each end. The
# prompt is that of interpolation: the task keeps its name.
#
# </details>
#
# **2.** The agreement of the first section counted patches that are given completely. Separate those that touch the
# border of the given region from those inside. What do you expect, and what about GroupNorm?
#
# <details><summary>Solution</summary>
#
# ```python
# name = "central_outpainting"
# whole = fully_given(conditions[name].is_condition)
# inner = whole.copy()
# for axis in (1, 2):
#     for shift in (-1, 1):
#         inner &= np.roll(whole, shift, axis)
# same = z_condition[name] == z
# print("inside", same[:, inner].mean(), "border", same[:, whole & ~inner].mean())
# ```
#
# Border tokens agree less often: the padding lies within reach of their first convolutions. Inside, the statistics
# of GroupNorm and the wider reach of the deep levels remain.
#
# </details>
#
# **3.** Latent masking is also a decoder here: `decoder="maskgit"` keeps the condition tokens, with the same weights.
# Compare it with the default on an outpainting task, over the *given* pixels.
#
# <details><summary>Solution</summary>
#
# ```python
# name = "central_outpainting"
# given = conditions[name].is_condition
# for decoder in ("commit", "maskgit"):
#     made = magvit.generate(name, video=clips, decoder=decoder, num_steps=num_steps, seed=1)
#     print(decoder, "PSNR of the given pixels", psnr(made[:, given], clips[:, given]))
# ```
#
# With "maskgit" the given region is decoded from tokens that the padding has spoiled. `keep_condition=True` puts the
# given pixels back in either case, which hides the difference inside the region and shows it as a seam.
#
# </details>
#
# **4.** What is $\bar z$ at ratio 1, for class-conditional generation and for central inpainting? And what is it that
# decoding starts from?
#
# <details><summary>Solution</summary>
#
# At ratio 1 no $z_i$ is left. Generation: all positions are `[MASK]`. Inpainting: $\tilde z$ around the box and
# `[MASK]` in it. This is what Algorithm 1 starts from, and training must therefore show it: the ratio is $\gamma(u)$
# with $u$ uniform, which comes close to 1.
#
# ```python
# for name in ("class_conditional_generation", "central_inpainting"):
#     ispad = conditions[name].ispad.reshape(-1)
#     start = mask_by_hand(targets[0], z_condition[name][0].reshape(-1), ispad, 1.0, np.zeros(length), vocabulary.mask_id)
#     print(name, "share of [MASK]:", np.mean(start == vocabulary.mask_id))
# ```
#
# </details>

# %% [markdown]
# ## Further reading
#
# - MAGVIT ([arXiv 2212.05199](https://arxiv.org/abs/2212.05199)), Sec. 3.2 (COMMIT, task prompts, Eq. 2-4, Fig. 2), Table 5 (latent masking, prefix, loss
#   parts), appendix B.1 (the ten tasks and their padding, Fig. 9).
# - Chang et al., MaskGIT ([arXiv 2202.04200](https://arxiv.org/abs/2202.04200)), Sec. 4.3: inpainting and outpainting by latent masks.
# - In the library: `magvit_keras/commit/tasks.py`, `conditions.py`, `masking.py`, `losses.py`, `vocabulary.py`: pure
#   functions, each about one page.
# - Next: [lesson 7](07_decoding.ipynb), from masks to clips.
