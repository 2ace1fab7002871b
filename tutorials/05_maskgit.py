# %% [markdown]
# # 5. Masked modelling of images: MaskGIT
#
# With a tokenizer an image is a small grid of numbers, and generating an image is generating that grid. This lesson
# trains a tiny transformer that fills in masked tokens, and makes pictures with it in a handful of steps. It is
# MaskGIT, the method for images that MAGVIT carries over to video.
#
# **You will learn**
#
# - how masked modelling turns a grid of tokens into training examples, and which loss it minimises;
# - what a mask schedule is, and why the ratio must be random in training;
# - how iterative decoding by confidence works, and why one step is not enough;
# - how it compares with autoregression, in time and in quality, when both had the same training.
#
# About 25 minutes. Background for Sec. 3.2 of the MAGVIT paper; the method is Sec. 3 of MaskGIT ([arXiv 2202.04200](https://arxiv.org/abs/2202.04200)).

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

from magvit_keras import backend
from magvit_keras.commit.losses import cross_entropy
from magvit_keras.commit.masking import lowest_scores, num_to_mask
from magvit_keras.commit.vocabulary import Vocabulary
from magvit_keras.decoding.autoregressive import decode_autoregressive
from magvit_keras.decoding.schedules import mask_ratio, mask_ratios

keras.utils.set_random_seed(0)

# %% [markdown]
# ## Frames as tokens
#
# The shipped 2D-VQ makes one token of 4x4 pixels. Frames of 32x32 keep things small: 8x8 tokens, of 1024 codes. The
# data are single frames of three shapes, with the shape as the class. How much of a frame survives?

# %%
tokenizer = mk.ImageTokenizer.from_preset("2dvq_tiny_moving_shapes")
SHAPES, COUNT = ("circle", "square", "star"), 320 if FAST else 1664
motions = ("spin",)  # in the middle of the frame
source = mk.data.MovingShapes(COUNT, 1, 32, shapes=SHAPES, motions=motions, look="plain")
data = source.arrays()
frames, labels = data["video"][:, 0], data["label"] // len(motions)
tokens = np.concatenate([ops.convert_to_numpy(tokenizer.encode(frames[i : i + 64])) for i in range(0, COUNT, 64)])
GRID, N = tokens.shape[1:], tokens[0].size


def pixels(ids):
    return np.clip(ops.convert_to_numpy(tokenizer.decode(ids.reshape(-1, *GRID))), 0, 1)


print(f"{frames.shape} pixels -> {tokens.shape} tokens, {len(np.unique(tokens))} codes in use")
maps = mk.visualize.upscale(mk.visualize.token_map(tokens[:6], tokenizer.codebook_size), 4)
mk.show(
    {"frame": frames[:6], "tokens": maps, "decoded": pixels(tokens[:6])}, labels=[SHAPES[i] for i in labels[:6]], fps=0
)

# %% [markdown]
# ## The loss
#
# Let $z=(z_1,\dots,z_N)$ be the tokens of an image and $c$ its class. Draw a ratio $r$, replace $\lceil rN\rceil$
# tokens at random places $M$ by `[MASK]`, and ask for them:
#
# $$\mathcal L=\mathbb{E}_{z,\,r,\,M}\;\frac{1}{|M|}\sum_{i\in M}-\log p_\theta(z_i\mid c,\,z_{\bar M}).$$
#
# It is BERT's loss with two differences. All positions are predicted from *both* sides, as there; but a masked token is
# always `[MASK]`, and the ratio is not a fixed 15 %. It is $r=\gamma(u)$ with $u$ uniform in $[0,1)$ and a **mask
# schedule** $\gamma$, the same function that decoding uses later to say how many tokens are still open. Which ratios
# does each schedule train?

# %%
u = np.linspace(0.001, 0.999, 999).astype("float32")
_, axes = plt.subplots(1, 2, figsize=(9, 2.8), layout="constrained")
for name in ("uniform", "cosine", "pow3", "pow0.5", "exp"):
    ratio = ops.convert_to_numpy(mask_ratio(u, N, name))
    axes[0].plot(u, ratio, label=name)
    axes[1].plot(np.histogram(ratio, 20, (0, 1))[0] / len(u) * 20, "o-", ms=2, label=name)
axes[0].set(xlabel="u, or the progress of decoding", ylabel="ratio", title="schedules")
axes[1].set(xlabel="ratio (twentieths)", ylabel="density", title="how often each ratio is trained")
axes[0].legend(fontsize=7)
plt.show()

# %% [markdown]
# The cosine puts most of the training on high ratios, where little is known and prediction is hard; pow0.5 does the
# opposite.
#
# The model is a `MaskedTransformer`: BERT over $[\text{task},c,z_1,\dots,z_N]$. (The task token is MAGVIT's and always
# the same here.) The training step in Keras, for all backends:


# %%
vocabulary = Vocabulary(tokenizer.codebook_size, num_classes=len(SHAPES))
PROMPT = vocabulary.prompt_id("class_conditional_generation")


def with_prefix(ids, labels):
    """[task, class, tokens] (B, 2 + N)."""
    prompts = ops.full_like(labels, PROMPT)
    return ops.concatenate([vocabulary.prefix(prompts, labels + vocabulary.codebook_size), ids], axis=1)


class MaskedImages(backend.SteppedModel):  # a keras.Model whose loss is written once for all backends
    log_names = ("loss", "accuracy")

    def __init__(self, transformer):
        super().__init__()
        self.transformer = transformer
        self.seed_generator = keras.random.SeedGenerator(0)
        # 0 draws the ratio; another number fixes it. A variable, so that one compiled step serves both.
        self.fixed_ratio = self.add_weight(shape=(), initializer="zeros", trainable=False, name="fixed_ratio")
        self.built = True

    def losses_and_logs(self, data, training):
        ids, labels = ops.cast(data["tokens"], "int32"), ops.cast(data["labels"], "int32")  # (B, N), (B,)
        size = ops.shape(ids)[0]
        ratio = mask_ratio(backend.uniform((size,), self.seed_generator), N, "cosine")
        fixed = ops.convert_to_tensor(self.fixed_ratio)
        ratio = ops.where(fixed > 0, fixed, ratio)  # (B,)
        score = backend.uniform((size, N), self.seed_generator)
        is_masked = lowest_scores(score, num_to_mask(ratio, ops.full((size,), N)))  # (B, N)
        inputs = with_prefix(ops.where(is_masked, vocabulary.mask_id, ids), labels)
        logits = self.transformer.codebook_logits(inputs, training=training)  # (B, N, 1024)
        weight = ops.cast(is_masked, "float32")
        loss = ops.sum(weight * cross_entropy(logits, ids)) / ops.sum(weight)
        right = ops.cast(ops.equal(ops.cast(ops.argmax(logits, axis=-1), "int32"), ids), "float32")
        return loss, {"loss": loss, "accuracy": (ops.sum(weight * right), ops.sum(weight))}


# %%
def make_transformer(causal=False):
    return mk.MaskedTransformer(
        codebook_size=tokenizer.codebook_size, num_classes=len(SHAPES), latent_shape=(1, *GRID), num_layers=2,
        hidden_size=96, num_heads=4, mlp_dim=192, dropout=0.0, causal=causal,
    )  # fmt: skip


def compiled(model):
    model.compile(keras.optimizers.Adam(3e-3, clipnorm=1.0))
    model.optimizer.build(model.trainable_variables)
    return model


flat = {"tokens": tokens.reshape(COUNT, N), "labels": labels}
held_out = {name: values[-128:] for name, values in flat.items()}
train = {name: values[:-128] for name, values in flat.items()}
model = compiled(MaskedImages(make_transformer()))
fresh = [(v, ops.convert_to_numpy(v)) for v in (*model.variables, *model.optimizer.variables)]
print(f"{model.transformer.count_params():,} parameters; guessing costs {np.log(tokenizer.codebook_size):.2f} nats")

# %% [markdown]
# ## Why the ratio is random
#
# Decoding begins with everything masked and ends with hardly anything masked. The network must be good at every ratio
# that it meets on the way. Train it twice for a moment, once with BERT's 15 % and once with $r=\gamma(u)$. What does
# each of them say at other ratios?

# %%
ratios, by_ratio = (0.15, 0.5, 0.75, 0.9, 1.0), {}
for name, fixed in (("always 15 %", 0.15), ("cosine of u", 0.0)):
    for variable, value in fresh:
        variable.assign(value)
    model.fixed_ratio.assign(fixed)
    model.fit(train, batch_size=16, epochs=1, verbose=0)
    by_ratio[name] = []
    for ratio in ratios:
        model.fixed_ratio.assign(ratio)
        by_ratio[name].append(model.evaluate(held_out, batch_size=64, verbose=0, return_dict=True)["loss"])
model.fixed_ratio.assign(0.0)

_, axis = plt.subplots(figsize=(5.5, 3), layout="constrained")
for name, values in by_ratio.items():
    axis.plot(ratios, values, "o-", label=f"trained with {name}")
axis.axhline(np.log(tokenizer.codebook_size), color="grey", ls=":", label="guessing")
axis.set(xlabel="ratio in the test", ylabel="cross-entropy (nats)")
axis.legend(fontsize=8)
plt.show()

# %% [markdown]
# The network that knows only 15 % is lost when much is masked: it has never seen such inputs, and what it says there
# can be worse than guessing. It would have to begin a picture exactly there. The random ratio trains the whole way. It
# also learns more from each image: at 15 % only one token in seven has a loss.
#
# ## Training
#
# Go on with the random ratio.

# %%
start = time.perf_counter()
history = model.fit(
    train, validation_data=held_out, batch_size=16, validation_batch_size=64, epochs=1 if FAST else 4, verbose=0
)
print(f"{time.perf_counter() - start:.0f} s")
mk.visualize.plot_history(history)

# %% [markdown]
# The accuracy looks poor, and says little: many codes look alike, so that the exact one of a flat patch of background
# is a matter of chance. The loss is what counts.
#
# ## Drawing pictures
#
# The network gives $p_\theta(z_i\mid\cdot)$ for each masked position *alone*. Drawing all of them at once, in one step,
# is drawing from $\prod_i p_\theta(z_i\mid c)$: if the background can be blue or green, each patch decides for itself.
#
# **Iterative decoding** draws all masked tokens, keeps those with the highest probability, masks the others again, and
# repeats; after step $t$ of $K$ a share $\gamma((t+1)/K)$ of the tokens is still masked. A little Gumbel noise on the
# confidence, fading with $t$, keeps the first choices from always being the same.


# %%
mask_id, rng = vocabulary.mask_id, np.random.default_rng(0)


def predict(ids, labels):
    logits = model.transformer.predict_on_batch(ops.convert_to_numpy(with_prefix(ids, labels)))
    return logits[:, -N:, : tokenizer.codebook_size]  # of the tokens, over the codes


def sample(labels, num_steps, schedule="cosine", temperature=1.0):
    """MaskGIT's decoding; returns the tokens after each step (K, B, N), `mask_id` where still masked."""
    ids, steps = np.full((len(labels), N), mask_id, "int32"), []
    for t, ratio in enumerate(mask_ratios(num_steps, N, schedule)):
        logits = predict(ids, labels)
        masked = ids == mask_id
        drawn = np.argmax(logits + rng.gumbel(size=logits.shape), axis=-1)  # a draw from the softmax
        log_p = np.take_along_axis(logits, drawn[..., None], -1)[..., 0] - np.log(np.exp(logits).sum(-1))
        score = log_p + temperature * (1 - (t + 1) / num_steps) * rng.gumbel(size=log_p.shape)
        score[~masked] = np.inf  # known tokens stay
        again = np.argsort(score, axis=1)[:, : int(ratio * N)]  # the least sure
        ids = np.where(masked, drawn, ids).astype("int32")
        np.put_along_axis(ids, again, mask_id, axis=1)
        steps.append(ids)
    return np.stack(steps)


# %%
wanted = np.repeat(np.arange(len(SHAPES), dtype="int32"), 4)
steps = sample(wanted, num_steps=8)
shown = np.where(steps == mask_id, 0, steps).reshape(-1, *GRID)
painted = mk.visualize.decoding_steps(shown, (steps == mask_id).reshape(shown.shape), tokenizer.codebook_size)
painted = mk.visualize.upscale(painted, 4).reshape(8, len(wanted), 32, 32, 3)
mk.show({f"{k + 1}": painted[k, ::2] for k in (0, 1, 3, 5, 6, 7)} | {"image": pixels(steps[-1])[::2]}, fps=0, scale=2)

# %% [markdown]
# Grey is masked. The first steps settle a few scattered tokens, the last ones most of the picture. Now, how many steps
# does it take?

# %%
wanted = np.repeat(np.arange(len(SHAPES), dtype="int32"), 4 if FAST else 20)
samples, seconds = {}, {}
for num_steps in (1, 2, 4, 8, 16):
    start = time.perf_counter()
    samples[f"{num_steps} steps"] = sample(wanted, num_steps)[-1]
    seconds[f"{num_steps} steps"] = time.perf_counter() - start
every = len(wanted) // 8 or 1
rows = {name.split()[0]: pixels(ids[::every][:8]) for name, ids in samples.items()}
mk.show({**rows, "real": frames[:8]}, fps=0, scale=2)

# %% [markdown]
# With one step every patch is plausible and the whole is not: a mosaic. A few steps later background and shape agree
# with themselves.
#
# ## The rival: one token after the other
#
# Autoregression writes $p(z\mid c)=\prod_i p(z_i\mid c,z_{<i})$. It is exact, and takes $N$ steps. The same transformer
# with a causal mask, trained for as many epochs on the same images; it predicts all tokens of each image, none is
# masked.


# %%
class CausalImages(backend.SteppedModel):
    log_names = ("loss",)

    def __init__(self, transformer):
        super().__init__()
        self.transformer = transformer
        self.built = True

    def losses_and_logs(self, data, training):
        ids, labels = ops.cast(data["tokens"], "int32"), ops.cast(data["labels"], "int32")
        logits = self.transformer.codebook_logits(with_prefix(ids, labels), training=training)
        loss = ops.mean(cross_entropy(logits, ids))
        return loss, {"loss": loss}


causal = compiled(CausalImages(make_transformer(causal=True)))
start = time.perf_counter()
causal.fit(train, batch_size=16, epochs=1 if FAST else 5, verbose=0)
loss = causal.evaluate(held_out, batch_size=64, verbose=0, return_dict=True)["loss"]
print(f"{time.perf_counter() - start:.0f} s, held-out loss {loss:.2f} nats a token")


# %% [markdown]
# `decode_autoregressive` keeps the keys and values of the tokens so far, so that a step costs one token and not the
# whole sequence. The first call compiles; the second one is timed.


# %%
def draw_in_order(prefix, seed):
    network, nothing = causal.transformer, ops.zeros((len(wanted), N), "int32")
    cache = network.empty_cache(len(wanted))
    return decode_autoregressive(
        network.next_logits, cache, prefix, nothing, ops.cast(nothing, "bool"), mask_id=mask_id, seed=seed
    )


prefix = ops.convert_to_numpy(with_prefix(np.zeros((len(wanted), 0), "int32"), wanted))
for seed in (0, 1):
    start = time.perf_counter()
    ids = ops.convert_to_numpy(backend.run_compiled(causal, "draw", draw_in_order, prefix, np.int32(seed)))
    seconds["in order"] = time.perf_counter() - start
samples["in order"] = ids
mk.show({"in order": pixels(ids[::every][:8]), "8 steps": rows["8"], "real": frames[:8]}, fps=0, scale=2)

# %% [markdown]
# Which is better? Compare distributions, not pictures: describe each image by nine numbers (for each colour its mean,
# its deviation, and the mean difference of neighbouring pixels) and take the Frechet distance between samples and real
# frames. It is small only if the samples are both as smooth and as varied as the real ones. [Lesson
# 8](08_evaluation.ipynb) does this with a trained network in place of nine numbers.


# %%
def describe(images):
    images = np.asarray(images, "float64")
    edges = np.abs(np.diff(images, axis=1)).mean(axis=(1, 2)) + np.abs(np.diff(images, axis=2)).mean(axis=(1, 2))
    return np.concatenate([images.mean(axis=(1, 2)), images.std(axis=(1, 2)), edges], axis=1)


def distance(ids):
    return mk.metrics.frechet_distance(real, describe(pixels(ids)))


real = describe(pixels(flat["tokens"][: 2 * len(wanted)]))  # through the tokenizer: only the transformers are compared
scores = {name: distance(ids) for name, ids in samples.items()}
passes = {name: N + 1 if name == "in order" else int(name.split()[0]) for name in samples}
print(f"{'':10s} {'passes':>7s} {'seconds':>8s} {'distance':>9s}")
for name in samples:
    print(f"{name:10s} {passes[name]:7d} {seconds[name]:8.2f} {scores[name]:9.4f}")
floor = distance(flat["tokens"][-2 * len(wanted) :])
print(f"other real frames: {floor:.4f}")

_, axis = plt.subplots(figsize=(5.5, 3), layout="constrained")
for name in samples:
    axis.semilogx(passes[name], scores[name], "o", color="C1" if name == "in order" else "C0")
    axis.annotate(f" {name}", (passes[name], scores[name]), fontsize=8)
axis.axhline(floor, color="grey", ls=":", label="other real frames")
axis.set(xlabel="passes through the network", ylabel="distance to real frames", ylim=(0, None))
axis.legend(fontsize=8)
plt.show()

# %% [markdown]
# Two things to read off. The first is the price. A step of masked decoding looks at the whole sequence, a step in order
# at one new token only; what masked decoding saves is the *number* of steps, which have to wait for one another. Where
# a pass over all tokens takes hardly longer than one over a single token, on a GPU or TPU, that number is the time. The
# seconds here are those of this machine, and of a loop in Python against one that is compiled as a whole.
#
# The second is quality. Where does the distance stop falling, and how near to other real frames does it come? More
# steps repair what independent draws break, but there is only so much to repair; the rest is what the network has not
# learned, and no number of steps adds that. And the distance itself is an estimate from few pictures: it is above zero
# for real frames too, and draws from another seed give another one. Differences of that size mean nothing. The paper
# makes this comparison for video, with the same transformer and tokenizer on both sides, in Table 6.
#
# ## Exercises
#
# **1. Schedules.** Decode in eight steps with "uniform", "cosine", "pow3" and "pow0.5". Which leave most tokens to the
# late steps, and which should be good?
#
# <details><summary>Solution</summary>
#
# ```python
# for schedule in ("uniform", "cosine", "pow3", "pow0.5"):
#     settled = -np.diff([N, *(int(ratio * N) for ratio in mask_ratios(8, N, schedule)[:-1]), 0])
#     print(f"{schedule:8s} {distance(sample(wanted, 8, schedule)[-1]):.4f}, tokens settled in each step: {settled}")
# ```
#
# "cosine" and "pow3" are concave: few tokens at first, when little is known and each draw is a guess, many at the end,
# when the rest nearly follows. "pow0.5" is convex and settles a third of the picture in the first step, from marginals
# alone. MaskGIT finds the concave ones best, the cosine before all. Is that so here, and is the difference larger than
# that of two seeds? Call `sample` twice to know.
#
# </details>
#
# **2. The noise on the confidence.** What do temperatures of 0 and 8 do to the pictures? Measure variety as well as
# distance. Note that the tokens themselves are drawn from the softmax either way.
#
# <details><summary>Solution</summary>
#
# ```python
# for temperature in (0.0, 1.0, 8.0):
#     ids = sample(wanted, 8, temperature=temperature)[-1]
#     made = pixels(ids)
#     variety = made.reshape(len(SHAPES), -1, *made.shape[1:]).std(axis=1).mean()
#     print(f"temperature {temperature}: distance {distance(ids):.4f}, deviation within a class {variety:.3f}")
# mk.show(made[:8], fps=0)
# ```
#
# Without noise the surest draws stay, and the surest are the commonest: what is rare is masked again until it has
# become common. With much noise the order is random, as if confidence did not count, and unlikely draws stay. A network
# that knows much wastes it so; for one as weak as this it may well be the better choice. The useful temperature depends
# on the model, and on how many tokens it decodes.
#
# </details>
#
# **3. Filling in.** The same network completes pictures. Give it the left half of the tokens of held-out frames; what
# must change in `sample`?
#
# <details><summary>Solution</summary>
#
# ```python
# def complete(ids, labels, num_steps):
#     """Draws what is `mask_id` in ids (B, N), as many in each image."""
#     count = int(np.sum(ids[0] == mask_id))
#     for ratio in mask_ratios(num_steps, count):
#         logits, masked = predict(ids, labels), ids == mask_id
#         drawn = np.argmax(logits + rng.gumbel(size=logits.shape), axis=-1)
#         score = np.take_along_axis(logits, drawn[..., None], -1)[..., 0] - np.log(np.exp(logits).sum(-1))
#         score[~masked] = np.inf
#         ids = np.where(masked, drawn, ids).astype("int32")
#         np.put_along_axis(ids, np.argsort(score, axis=1)[:, : int(ratio * count)], mask_id, axis=1)
#     return ids
#
#
# whole, kinds = held_out["tokens"][: len(wanted)], held_out["labels"][: len(wanted)]
# halves = whole.reshape(-1, *GRID).copy()
# halves[:, :, GRID[1] // 2 :] = mask_id
# done = complete(halves.reshape(-1, N), kinds, 8)
# mk.show({"completed": pixels(done[:8]), "real": pixels(whole[:8])}, fps=0, scale=2)
# ```
#
# It starts from the given tokens in place of `[MASK]` everywhere, and the schedule counts the open ones only. Nothing
# is trained for it: any set of masked places was an example in training. It works because here the tokens of the left
# half were made from the *whole* picture. Given the left half of the pixels only, the tokens at the seam would be
# others, and that is the problem which COMMIT solves ([lesson 6](06_commit.ipynb)).
#
# </details>
#
# **4. No way back.** A token that is settled stays, even if it turns out not to fit. Why not drop the line with
# `np.inf`, so that the least sure of *all* tokens are masked again? First look at what the network says about tokens
# that it sees.
#
# <details><summary>Solution</summary>
#
# ```python
# seen = np.random.default_rng(0).random(whole.shape) < 0.5
# logits = predict(np.where(seen, whole, mask_id), kinds)
# log_p = np.take_along_axis(logits, whole[..., None], -1)[..., 0] - np.log(np.exp(logits).sum(-1))
# print(f"log p of the right token: where it is seen {log_p[seen].mean():.2f}, where masked {log_p[~seen].mean():.2f}")
# ```
#
# A token that is seen could simply be copied, with log p of 0. But no loss ever asked for it: only masked places count,
# and so what the network says elsewhere is not a judgement of the token that stands there. To take back a choice takes
# a network that was trained to judge; Token-Critic is one.
#
# </details>
#
# ## Further reading
#
# - Chang et al., *MaskGIT* ([arXiv 2202.04200](https://arxiv.org/abs/2202.04200)): Sec. 3 for training and decoding,
#   Sec. 4.4 for the schedules.
# - MAGVIT ([arXiv 2212.05199](https://arxiv.org/abs/2212.05199)): Sec. 2 tells of MaskGIT, Sec. 3.2 what video adds; Table 6
#   compares with autoregression. Files: `magvit_keras/commit/masking.py`, `magvit_keras/decoding/schedules.py`,
#   `sampling.py`, `autoregressive.py`.
# - Ghazvininejad et al., *Mask-Predict* ([arXiv 1904.09324](https://arxiv.org/abs/1904.09324)): the same decoding, in
#   translation, where it comes from.
# - Esser et al., *Taming transformers* ([arXiv 2012.09841](https://arxiv.org/abs/2012.09841)): tokens in order.
# - Lezama et al., *Token-Critic* ([arXiv 2209.04439](https://arxiv.org/abs/2209.04439)): a network that says which tokens
#   to take back.
# - Next: [lesson 6](06_commit.ipynb), conditions made of pixels, and ten tasks in one model.
