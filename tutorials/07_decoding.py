# %% [markdown]
# # 7. Decoding, step by step
#
# A transformer that fills in masked tokens is not yet a generator: it says what is likely at each position *alone*.
# This lesson is about the algorithm that makes clips of it, the paper's Algorithm 1. You write it yourself, check that
# it gives the library's tokens, watch it at work, and turn its knobs.
#
# **You will learn**
#
# - Algorithm 1 in thirty lines of NumPy, equal to the library's token by token;
# - what happens in each step, as in Fig. 3 of the paper;
# - what becomes of the tokens of the condition, and what their refinement is worth;
# - whether the confidence of a token deserves its name;
# - what the number of steps, the schedule and the temperature do to quality and to variety;
# - how to generate into a region that you sketch.
#
# About 30 minutes. It covers the second half of Sec. 3.2 of the paper, Algorithm 1, Fig. 3 and the decoding part of
# Table 6. You should know Eq. 2 ([lesson 6](06_commit.ipynb)).

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
import time

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import ops

from magvit_keras.commit.conditions import condition
from magvit_keras.decoding.noise import CONFIDENCE_STREAM, TOKEN_STREAM, gumbel, hash_uniform
from magvit_keras.decoding.schedules import mask_ratios

keras.utils.set_random_seed(0)

# %%
magvit = mk.Magvit.from_preset("magvit_tiny_moving_shapes")
tokenizer, vocabulary, latent_shape = magvit.tokenizer, magvit.vocabulary, magvit.latent_shape
BATCH, K = (1, 4) if FAST else (2, 12)
data = mk.data.MovingShapes(BATCH, 16, 64, split="test", seed=1, look="grid").arrays()
clips = data["video"] / np.float32(255)


def encode(video):
    return ops.convert_to_numpy(tokenizer.encode(video)).reshape(len(video), -1)  # (B, N)


def pixels(ids):
    return np.clip(ops.convert_to_numpy(tokenizer.decode(ids.reshape(-1, *latent_shape))), 0, 1)


task = "central_outpainting"
given = condition(clips, task, latent_shape)
padded = ops.convert_to_numpy(given.video)
z, z_condition = encode(clips), encode(padded)  # (B, N)
ispad = np.broadcast_to(given.ispad.reshape(1, -1), z.shape)
mk.show({"clip": clips[0], "condition": padded[0]}, scale=2)

# %% [markdown]
# ## Why not all at once?
#
# The network's answer to a masked clip is $p_\theta(z_i\mid\bar z)$ for every $i$. To draw all tokens at once from it
# is to draw from the product $\prod_i p_\theta(z_i\mid\bar z)$, in which no token knows what its neighbour has become.
# If the missing shape may be red or blue, each of its tokens tosses its own coin.
#
# Drawing one token after the other is right, $p(z)=\prod_i p(z_i\mid z_{<i})$, and takes as many steps as there are
# tokens, 1024 here. Non-autoregressive decoding lies between the two: it draws all tokens at once, **keeps those it is
# surest of**, and asks again for the others, with more to go by.

# %% [markdown]
# ## Algorithm 1
#
# In: the condition tokens $\tilde z$, the prompts $\rho, c$, the number of steps $K$, a schedule $\gamma$ that falls
# from 1 to 0, a temperature $T$. All tokens are unknown, $s=0$. Then for $t=0,\dots,K-1$:
#
# 1. $\bar z \leftarrow m(\hat z\mid\tilde z)$: known tokens stay; unknown ones show the condition token, or `[MASK]`
#    where that is padding (Eq. 2);
# 2. draw $\hat z_i\sim p_\theta(z_i\mid[\rho,c,\bar z])$ for all unknown $i$;
# 3. score them, $s_i \leftarrow \log p_\theta(\hat z_i) + T\left(1-\frac{t+1}{K}\right) g_i$ with Gumbel noise $g_i$;
#    known ones keep $s_i=\infty$;
# 4. of all $N$ tokens let the $\lfloor\gamma(\frac{t+1}{K})N\rfloor$ with the lowest scores be unknown again.
#
# The noise is there for variety: without it the surest tokens, the dull ones, always come first. It fades as $t$ grows.
#
# Both draws use the Gumbel trick: $\arg\max_k(l_k+g_k)$ with independent Gumbel noise $g_k$ is a draw from
# $\operatorname{softmax}(l)$. The library takes its noise from a hash of seed, step and position, so that one seed is
# one clip on every backend; you use the same noise, to be able to compare.


# %%
def log_softmax(logits):
    logits = logits - logits.max(axis=-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


def noise(stream, seed, step, shape):
    return ops.convert_to_numpy(gumbel(hash_uniform(seed, step, shape, stream)))


def decode_by_hand(
    predict, z_condition, ispad, num_steps=12, schedule="cosine", temperature=4.5, seed=0, latent_mask=False
):
    """Algorithm 1. predict: (B, N) ids -> (B, N, V) logits. Returns the tokens and what happened in each step."""
    ids, steps = z_condition.copy(), []
    unknown = may_change = ispad if latent_mask else np.ones_like(ispad)  # MaskGIT keeps the condition tokens
    total = may_change.sum(axis=1)  # (B,)
    for t, ratio in enumerate(mask_ratios(num_steps, ids.shape[1], schedule)):  # gamma((t + 1) / K)
        # 1. The multivariate mask.
        inputs = np.where(unknown, np.where(ispad, vocabulary.mask_id, z_condition), ids)
        # 2. Draw the unknown tokens.
        logits = predict(inputs)
        drawn = np.argmax(logits + noise(TOKEN_STREAM, seed, t, logits.shape), axis=-1)
        ids = np.where(unknown, drawn, ids)
        # 3. Score them; the noise fades.
        log_p = np.take_along_axis(log_softmax(logits), ids[..., None], axis=-1)[..., 0]
        fading = temperature * (1 - (t + 1) / num_steps)
        score = np.where(unknown, log_p + fading * noise(CONFIDENCE_STREAM, seed, t, log_p.shape), np.inf)
        steps.append({"inputs": inputs, "ids": ids, "unknown": unknown, "log_p": log_p})
        # 4. The least sure ones become unknown again, at least one less than before.
        count = np.maximum(1, np.floor(ratio * total.astype("float32"))).astype(int)
        count = np.minimum(count, unknown.sum(axis=1) - 1)
        cut = np.take_along_axis(np.sort(score, axis=1), count[:, None] - 1, axis=1)
        unknown = may_change & (score <= cut)
    return ids, steps


# %% [markdown]
# Two lines come from the authors' code and not from the text of the paper: the floor in step 4 (the paper writes a
# ceiling), and that at least one token becomes known in every step. The network is `magvit.predict_on_batch`, which
# takes $[\rho, c, \bar z]$.

# %%
prefix = ops.convert_to_numpy(
    vocabulary.prefix(np.full(BATCH, vocabulary.prompt_id(task), "int32"), np.full(BATCH, vocabulary.no_class_id))
)


def predict(ids):
    return magvit.predict_on_batch(np.concatenate([prefix, ids], axis=1).astype("int32"))


start = time.perf_counter()
by_hand, steps = decode_by_hand(predict, z_condition, ispad, num_steps=K)
print(f"{K} steps by hand: {time.perf_counter() - start:.1f} s")
generation = magvit.generate(task, video=clips, num_steps=K, seed=0, return_details=True)
same = generation.tokens.reshape(BATCH, -1) == by_hand
print(f"tokens equal to the library's: {same.mean():.2%}")

# %% [markdown]
# Should a token differ on your machine, it is a tie broken by the last bit of a float: NumPy and the backend do not
# round a logarithm alike.
#
# ## Watching it
#
# Fig. 3 of the paper shows this. Each picture is one latent frame; grey is unknown, and a tint of colour is a condition
# token that stands in for an unknown one. Below, the clip as it would be decoded after each step.

# %%
frames = mk.visualize.decoding_animation(generation, tokenizer.codebook_size, tokenizer, frame_size=128)
mk.show(frames, fps=2, scale=1)

# %% [markdown]
# What does the network get to see in each step? Count the three kinds of tokens in its input.

# %%
kinds = []
for step in steps:
    kinds.append([(~step["unknown"]).mean(), (step["unknown"] & ~ispad).mean(), (step["unknown"] & ispad).mean()])
_, axis = plt.subplots(figsize=(7, 2.8), layout="constrained")
names = ["known", "unknown, shows the condition token", "unknown, shows [MASK]"]
axis.stackplot(
    np.arange(1, K + 1), np.array(kinds).T, labels=names, colors=["#0072B2", "#E69F00", "#aaaaaa"], step="mid"
)
axis.set(xlabel="step", ylabel="share of the tokens", xlim=(1, K), ylim=(0, 1))
axis.legend(loc="lower right", fontsize=8)
plt.show()

# %% [markdown]
# At first the network sees the condition and nothing else. The cosine keeps most tokens open during the first steps,
# when little is known, and settles many in the last ones, when little is left to doubt. Note the middle band: the
# places of the condition tokens are settled like all others. No token of $\tilde z$ is left in the end.
#
# ## What the refinement does
#
# Lesson 6 found that a condition token is often not the token of the real clip. Algorithm 1 may correct it; MaskGIT's
# decoding (`latent_mask=True`, the library's `decoder="maskgit"`) keeps it. At the given places, how many tokens are
# those of the real clip, before and after? And what does it mean in pixels?

# %%
kept, _ = decode_by_hand(predict, z_condition, ispad, num_steps=K, latent_mask=True)
is_given = given.is_condition  # (T, H, W)


def psnr(a, b, where):
    return float(-10 * np.log10(np.mean((a - b)[:, where] ** 2) + 1e-10))


table = {"condition tokens": z_condition, "latent mask": kept, "COMMIT": by_hand, "real tokens": z}
print(f"{'':18s} {'tokens as in the real clip':>28s} {'PSNR given':>12s} {'PSNR missing':>13s}")
for name, ids in table.items():
    video = pixels(ids)
    right = (ids == z)[~ispad].mean()
    print(f"{name:18s} {right:28.0%} {psnr(video, clips, is_given):12.1f} {psnr(video, clips, ~is_given):13.1f}")
mk.show({"truth": clips[0], "latent mask": pixels(kept)[0], "COMMIT": pixels(by_hand)[0]}, scale=2)

# %% [markdown]
# The first line decodes $\tilde z$ as it is, the last one the real tokens: between them lies what refinement can win.
# It may also lose something: a token that was right can be drawn anew and wrong. Whether the sum is positive depends on
# how well the refine part of the loss was learned; the paper's Table 5 shows the gain at full scale (51 to 48 on one
# task, 53 to 33 on eight).
#
# ## Is confidence worth its name?
#
# Step 4 keeps the tokens with the highest $\log p$. That is wise only if tokens of high probability are right more
# often. Ask the network once, with the condition alone, and compare its most likely token with the real one: where is
# it sure, and is it right there?

# %%
probability = np.exp(log_softmax(predict(steps[0]["inputs"])))
sure, hit = probability.max(axis=-1), probability.argmax(axis=-1) == z
_, axes = plt.subplots(1, 5, figsize=(12, 3), layout="constrained", width_ratios=[1, 1, 1, 1, 1.5])
for t in range(4):
    picture = axes[t].imshow(sure[0].reshape(latent_shape)[t], vmin=0, vmax=1, cmap="magma")
    axes[t].set(title=f"confidence, t={t}", xticks=[], yticks=[])
order = np.argsort(sure.ravel())
groups = np.array_split(order, 10)
x, y = ([values.ravel()[group].mean() for group in groups] for values in (sure, hit))
axes[4].plot([0, 1], [0, 1], color="grey", ls=":", label="calibrated")
axes[4].plot(x, y, "o-", label="tenths of the tokens")
axes[4].set(xlabel="confidence", ylabel="share that is right", title="step 1")
axes[4].legend(fontsize=8)
plt.show()

# %% [markdown]
# The maps are bright where there is nothing but ground, and dark where the shape is, or may be: that is what has to be
# decided. On the right, a curve that rises says that surer tokens are right more often, so that it makes sense to begin
# with them. A curve near the dotted line means that the probabilities can be taken at their word.
#
# ## The number of steps
#
# How many steps does it take? The time grows with $K$. What does the quality do? PSNR of the missing pixels is a crude
# measure of it, so look at the clips too.

# %%
counts = (1, K) if FAST else (1, 2, 4, 8, 16)
made, seconds = {}, []
for count in counts:
    start = time.perf_counter()
    made[count] = pixels(decode_by_hand(predict, z_condition, ispad, num_steps=count)[0])
    seconds.append(time.perf_counter() - start)
quality = [psnr(video, clips, ~is_given) for video in made.values()]
_, axes = plt.subplots(1, 2, figsize=(8, 2.6), layout="constrained")
axes[0].plot(counts, quality, "o-")
axes[0].set(title="PSNR of the missing pixels (dB)", xlabel="steps")
axes[1].plot(counts, seconds, "o-")
axes[1].set(title="seconds", xlabel="steps", ylim=(0, None))
plt.show()
mk.show({"condition": padded[0], **{f"K = {count}": video[0] for count, video in made.items()}}, scale=2)

# %% [markdown]
# One step is the product of marginals of the beginning: patches that each go with the condition, and not with one
# another. Where the curve flattens, more steps cost time and bring nothing. That is the paper's bargain (Table 6): an
# autoregressive decoder of the same size takes 1024 steps for such a clip, this one 12.
#
# ## The schedule
#
# $\gamma$ says how many tokens are still open after each step. All schedules end at 0; they differ in when they spend
# the tokens.

# %%
schedules = ("uniform", "cosine", "pow3", "exp")
_, axis = plt.subplots(figsize=(6, 2.8), layout="constrained")
for name in schedules:
    ratios = np.concatenate([[1], mask_ratios(12, z.shape[1], name)])
    axis.plot(range(13), ratios, "o-", ms=3, label=name)
axis.set(xlabel="step", ylabel="share still unknown")
axis.legend()
plt.show()
for name in schedules[: 2 if FAST else None]:
    ids, _ = decode_by_hand(predict, z_condition, ispad, num_steps=min(K, 8), schedule=name)
    print(f"{name:8s} PSNR of the missing pixels {psnr(pixels(ids), clips, ~is_given):.1f} dB")

# %% [markdown]
# Concave schedules (cosine, pow3) wait; "uniform" settles the same number in each step. "exp" waits longest and decides
# nearly everything in the last few steps; the paper uses it on BAIR, and "uniform" on Kinetics-600 (appendix B.3). On a
# handful of clips the numbers above differ by little more than chance: choose a schedule on many clips, by FVD ([lesson
# 8](08_evaluation.ipynb)).
#
# ## The temperature
#
# $T$ scales the noise on the confidence. $T=0$ keeps the surest tokens; for $T\to\infty$ the order is random. Decode
# the same clip with several seeds: how different do the results get, and at what cost?

# %%
temperatures = (0.0, 4.5) if FAST else (0.0, 4.5, 20.0, 400.0)
quality, variety = [], []
for temperature in temperatures:
    options = {"num_steps": min(K, 8), "temperature": temperature}
    videos = np.stack([pixels(decode_by_hand(predict, z_condition, ispad, seed=seed, **options)[0]) for seed in (1, 2)])
    quality.append(np.mean([psnr(video, clips, ~is_given) for video in videos]))
    variety.append(float(np.abs(videos[0] - videos[1])[:, ~is_given].mean()))
_, axis = plt.subplots(figsize=(5, 3), layout="constrained")
axis.plot(variety, quality, "o-")
for x, y, temperature in zip(variety, quality, temperatures, strict=True):
    axis.annotate(f"  T = {temperature:g}", (x, y))
axis.set(xlabel="mean difference between two samples", ylabel="PSNR of the missing pixels (dB)")
plt.show()

# %% [markdown]
# Towards the right there is more variety. Here the condition leaves little to choose and there are two clips only, so
# that chance has a part in the order of the points: repeat it with a task that gives less. Samples that all agree can
# look right one by one and still be a bad model of the data, and an FVD notices. That is why the paper's default is 4.5
# and not 0.
#
# ## Revisions
#
# Tokens that are drawn in one step do not know of each other, and what is known stays. So the slips of a small model
# stay too: torn edges, stray specks. *Draft-and-Revise* ([arXiv 2206.04452](https://arxiv.org/abs/2206.04452)) goes on
# where Algorithm 1 ends: it forgets a random half of the tokens, takes the most likely ones given the other half, and
# then the other way round. `num_revisions` counts such rounds; each costs two passes.

# %%
options = {"label": ["cross_orbit", "square_spin"], "num_steps": K, "seed": 2}
revised = [magvit.generate("class_conditional_generation", num_revisions=rounds, **options) for rounds in (0, 1)]
mk.show(np.concatenate(revised), labels=["draft", "draft", "revised", "revised"], columns=2, scale=2)

# %% [markdown]
# Half of a clip says nearly all of the other half, so what most tokens agree on wins over a slip. Nothing is drawn any
# more, which costs a little variety of detail; the draft has chosen place, colours and motion already.
#
# ## Your own mask
#
# Nothing in Algorithm 1 knows the ten tasks. It takes condition tokens and `ispad`, and both follow from any mask.
# Change this sketch: each character stands for 8x8 pixels, `.` is given, `#` is to be made. It holds for all frames
# from `first` on.

# %%
sketch = """
. . . . . . . .
. # # . . . . .
. # # # . . . .
. . # # # . . .
. . . # # # . .
. . . . # # # .
. . . . . # # .
. . . . . . . .
"""
first = 4
cells = np.array([[cell == "." for cell in line.split()] for line in sketch.split("\n") if line.strip()])
mask = np.ones((16, 64, 64), bool)  # True where the pixel is given
mask[first:] = np.kron(cells, np.ones((8, 8), bool))
drawn = magvit.generate(video=clips, condition_mask=mask, num_steps=K, seed=0, return_details=True)
cut = {"condition": drawn.condition_video[0], "generated": drawn.video[0], "truth": clips[0]}
mk.show(cut, scale=2)

# %% [markdown]
# And step by step: which tokens does your sketch leave unknown, and in which order are they settled?

# %%
mk.show(mk.visualize.decoding_animation(drawn, tokenizer.codebook_size, tokenizer, frame_size=128), fps=2, scale=1)

# %% [markdown]
# `generate` uses the prompt of a trained task of the same kind, here inpainting. A token counts as given only if all
# its 4x4x4 pixels are. The model has only seen the regions of the ten tasks in training; with a sketch you ask it to
# generalise.
#
# ## Exercises
#
# **1.** Draw no token: take the most likely one in step 2. What happens to the clips of two seeds, and why is
# there any difference left?
#
# <details><summary>Solution</summary>
#
# In the library it is `token_temperature=0`. By hand, leave the noise out of step 2.
#
# ```python
# options = {"video": clips, "num_steps": K, "token_temperature": 0.0}
# a, b = (magvit.generate(task, seed=seed, **options) for seed in (1, 2))
# print("difference:", np.abs(a - b).mean())
# print("with T = 0:", np.abs(a - magvit.generate(task, seed=1, temperature=0.0, **options)).mean())
# ```
#
# The noise of step 3 still decides which tokens are settled first, and what is settled first changes the rest. With
# `temperature=0` as well nothing is random any more.
#
# </details>
#
# **2.** Give the algorithm an order instead of confidences: from the first latent frame to the last, row by row.
# What do you have for $K=N$? Try it with $K=16$.
#
# <details><summary>Solution</summary>
#
# ```python
# def in_order(predict, z_condition, ispad, num_steps):
#     batch, length = z_condition.shape
#     ids = z_condition.copy()
#     for t, part in enumerate(np.array_split(np.arange(length), num_steps)):
#         unknown = np.arange(length) >= part[0]
#         inputs = np.where(unknown, np.where(ispad, vocabulary.mask_id, z_condition), ids)
#         logits = predict(inputs)
#         drawn = np.argmax(logits + noise(TOKEN_STREAM, 0, t, logits.shape), axis=-1)
#         ids[:, part] = drawn[:, part]
#     return ids
#
# ids = in_order(predict, z_condition, ispad, num_steps=16)
# print("PSNR of the missing pixels", psnr(pixels(ids), clips, ~is_given))
# ```
#
# For $K=N$ it is autoregressive decoding, with a network that also sees the condition of what is to come. With fewer
# steps the tokens that are drawn together are neighbours, the worst choice: they depend on each other most. The
# library's `decoder="halton"` does the opposite and takes tokens that lie far apart.
#
# </details>
#
# **3.** Write the schedule $\gamma(x)=1-x^{1/2}$, which hurries. Compare it with the cosine for $K=8$.
#
# <details><summary>Solution</summary>
#
# Every schedule "pow" with an exponent has a name, as has every polynomial ("poly:-1,0,1" is $1-x^2$).
#
# ```python
# for schedule in ("pow0.5", "cosine"):
#     ids, _ = decode_by_hand(predict, z_condition, ispad, num_steps=8, schedule=schedule)
#     print(schedule, psnr(pixels(ids), clips, ~is_given), mask_ratios(8, 1024, schedule).round(2))
# ```
#
# It settles a third of the tokens in the first step, when all the network has is the condition.
#
# </details>
#
# **4.** Guidance: replace the logits by $l + g\,(l-l_\varnothing)$, where $l_\varnothing$ does not know the class.
# Write it for `class_conditional_generation` as a `predict` for `decode_by_hand`. How many network passes does a clip
# cost now?
#
# <details><summary>Solution</summary>
#
# ```python
# def guided(g, label, task="class_conditional_generation"):
#     prompts = np.full(BATCH, vocabulary.prompt_id(task), "int32")
#     prefixes = [vocabulary.prefix(prompts, vocabulary.class_ids(np.full(BATCH, c))) for c in (label, -1)]
#
#     def predict(ids):
#         known, blind = (
#             magvit.predict_on_batch(np.concatenate([ops.convert_to_numpy(p), ids], axis=1).astype("int32"))
#             for p in prefixes
#         )
#         return known + g * (known - blind)
#
#     return predict
#
# nothing = np.ones_like(ispad)
# ids, _ = decode_by_hand(guided(1.0, label=0), z_condition, nothing, num_steps=K)
# mk.show(pixels(ids))
# ```
#
# Two passes a step. The library does the same with `guidance_scale=1.0`; the model must have been trained with
# `class_dropout`, so that it knows what "no class" means.
#
# </details>

# %% [markdown]
# ## Further reading
#
# - MAGVIT ([arXiv 2212.05199](https://arxiv.org/abs/2212.05199)): Sec. 3.2 with Algorithm 1 and Fig. 3; Table 6 (decoding methods); appendix B.3 (schedules and
#   temperatures of each benchmark).
# - Chang et al., MaskGIT ([arXiv 2202.04200](https://arxiv.org/abs/2202.04200)), Sec. 3.2: iterative decoding and mask schedules.
# - Besnier et al., Halton Scheduler for Masked Generative Image Transformer ([arXiv 2503.17076](https://arxiv.org/abs/2503.17076)): an order in place of
#   confidence.
# - In the library: `magvit_keras/decoding/commit_decoding.py` (Algorithm 1), `schedules.py`, `noise.py`, `halton.py`,
#   `autoregressive.py`.
# - Next: [lesson 8](08_evaluation.ipynb), whether what was made is any good.
