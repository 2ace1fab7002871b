# %% [markdown]
# # 2. Vector quantization and collapse
#
# A masked transformer reads and writes whole numbers. Vector quantization makes them: a network describes a piece of a
# picture by a vector, and the vector is replaced by the nearest entry of a list, the *codebook*. It is three lines of
# code, and it fails in a way of its own: after a while only a few entries are in use. This is *codebook collapse*.
#
# **You will learn**
#
# - what a vector quantizer computes, and how gradients get through a step that has none;
# - why codes die, on an example in the plane that you can follow by eye;
# - how to see collapse while you train: codes in use, and perplexity;
# - what helps, measured on equal terms: the entropy loss, restarts, narrower codes, and quantizers without a codebook.
#
# It goes with Sec. 3.1 of the paper and takes about 30 minutes.

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

from magvit_keras.backend import SteppedModel
from magvit_keras.tokenizer.base_tokenizer import codebook_statistics
from magvit_keras.tokenizer.code_usage import CodeUsage
from magvit_keras.tokenizer.finite_scalar_quantizer import FiniteScalarQuantizer
from magvit_keras.tokenizer.lookup_free_quantizer import LookupFreeQuantizer
from magvit_keras.tokenizer.quantizer import VectorQuantizer

# %% [markdown]
# ## The nearest code
#
# An encoder turns a piece of a picture into a latent $z \in \mathbb{R}^D$. The codebook holds $K$ codes
# $e_1, \dots, e_K \in \mathbb{R}^D$. The token is the number of the nearest one, and the decoder gets that code instead
# of $z$:
#
# $$k(z) = \operatorname{argmin}_{k} \lVert z - e_k \rVert^2, \qquad q(z) = e_{k(z)} .$$
#
# A token carries at most $\log_2 K$ bits; the paper has $K = 1024$, 10 bits. Two things must be learned although
# $\operatorname{argmin}$ has no useful gradient:
#
# - **The codes** move towards the latents that chose them, by the *codebook loss* $\lVert q(z) - \operatorname{sg}[z]
#   \rVert^2$, where $\operatorname{sg}$ stops the gradient. The *commitment loss*
#   $\beta \lVert \operatorname{sg}[q(z)] - z \rVert^2$ pulls the other way, so that latents do not run from their codes.
# - **The encoder** gets the gradient of the decoder's input as if it were its own: $z + \operatorname{sg}[q(z) - z]$
#   has the value $q(z)$ and the gradient of $z$. This is the *straight-through* estimator.
#
# ## Why codes die
#
# Take the gradient of the codebook loss for one code over a batch of $N$ latents:
#
# $$\frac{\partial}{\partial e_k} \frac{1}{N} \sum_{n=1}^{N} \lVert e_{k(z_n)} - z_n \rVert^2
#   = \frac{2}{N} \sum_{n:\, k(z_n) = k} (e_k - z_n) .$$
#
# The sum runs over the latents that *chose* code $k$. A code that none of them chose does not move, and as it does not
# move it is not chosen the next time either. Here are 2000 points in the plane on eight islands, and sixteen codes that
# start near the middle, as codes usually do. How many of the codes ever move?

# %%
rng = np.random.default_rng(0)
angles = 2 * np.pi * np.arange(8) / 8
islands = 3 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
points = islands[rng.integers(0, 8, 2000)] + rng.normal(scale=0.25, size=(2000, 2))
start = rng.uniform(-0.4, 0.4, (16, 2))


def nearest(z, codes):
    return ((z[:, None] - codes[None]) ** 2).sum(axis=2).argmin(axis=1)


def learn_codes(codes, steps=300, rate=0.5, restart_after=None):
    """Gradient descent on the codebook loss; returns the codes after each step."""
    codes, unused, path = codes.copy(), np.zeros(len(codes), int), [codes.copy()]
    for _ in range(steps):
        z = points[rng.integers(0, len(points), 256)]
        ids = nearest(z, codes)
        for k in np.unique(ids):
            codes[k] -= rate * 2 * (codes[k] - z[ids == k]).sum(axis=0) / len(z)
        unused = np.where(np.isin(np.arange(len(codes)), ids), 0, unused + 1)
        if restart_after is not None:
            dead = unused >= restart_after
            codes[dead], unused[dead] = z[rng.integers(0, len(z), dead.sum())], 0
        path.append(codes.copy())
    return np.array(path)


runs = {"codebook loss": learn_codes(start), "with restarts": learn_codes(start, restart_after=20)}
figure, axes = plt.subplots(1, 3, figsize=(11, 3.8), layout="constrained", sharex=True, sharey=True)
for place, (name, path) in zip(axes, {"start": start[None], **runs}.items(), strict=True):
    codes, alive = path[-1], np.isin(np.arange(16), nearest(points, path[-1]))
    place.scatter(*points[::4].T, s=3, color="0.8")
    if name == "codebook loss":
        place.plot(path[:, :, 0], path[:, :, 1], color="tab:blue", linewidth=0.6)
    place.scatter(*codes[alive].T, s=50, color="tab:blue", label="chosen by some point")
    place.scatter(*codes[~alive].T, s=50, color="tab:red", marker="x", label="chosen by none")
    error = np.mean(((points - codes[nearest(points, codes)]) ** 2).sum(axis=1))
    place.set_title(f"{name}: {alive.sum()} of 16 in use,\nmean squared distance {error:.2f}")
    place.set_aspect("equal")
axes[0].legend(loc="center", fontsize=8)
plt.show()

# %% [markdown]
# The few codes on the outside win every comparison, leave for the islands and stay there. Those in the middle are now
# further from every point than the winners: they are dead, and an island that shares its code with a neighbour is
# served badly for ever. Nothing is wrong with the loss; the trouble is that a winner takes all.
#
# *Restarts* are the blunt cure: a code that nobody chose for 20 steps is put on top of a random latent of the batch.
#
# ## Collapse in a network
#
# Now with pictures. To keep it fast, an autoencoder of two small dense networks looks at one patch of $8\times 8$
# pixels at a time. Its training step is written once for all backends: a `SteppedModel` says what its losses are.


# %%
def patches(num_frames, split):
    """Patches (N, 192) of 8 x 8 pixels, and the frames (num_frames, 64, 64, 3) that they were cut from."""
    clips = mk.data.MovingShapes(num_frames, 1, 64, split=split, look="plain").arrays()["video"]
    frames = clips[:, 0].astype("float32") / 255
    cut = frames.reshape(-1, 8, 8, 8, 8, 3).transpose(0, 1, 3, 2, 4, 5)
    return cut.reshape(-1, 192) - 0.5, frames


class PatchAutoencoder(SteppedModel):
    """Patch -> latent -> code -> patch."""

    log_names = ("loss", "reconstruction_loss", "perplexity")

    def __init__(self, quantizer, restart_after=None):
        super().__init__()
        self.quantizer, width = quantizer, quantizer.embedding_dim
        dense = keras.layers.Dense
        self.encoder = keras.Sequential([keras.Input((192,)), dense(128, activation="gelu"), dense(width)])
        self.decoder = keras.Sequential([keras.Input((width,)), dense(128, activation="gelu"), dense(192)])
        self.usage = CodeUsage(quantizer.codebook_size, restart_after)
        quantizer.build((None, width))
        self.built = True

    def call(self, x):
        return self.decoder(self.quantizer(self.encoder(x))[0])

    def losses_and_logs(self, x, training):
        codes, ids, losses = self.quantizer(self.encoder(x))
        reconstruction = ops.mean(ops.square(self.decoder(codes) - x))
        loss = reconstruction + sum(losses.values())  # commitment, codebook and entropy, as far as there are any
        _, perplexity = codebook_statistics(ids, self.quantizer.codebook_size)
        return loss, {"loss": loss, "reconstruction_loss": reconstruction, "perplexity": perplexity}

    def training_step(self, x):
        logs = super().training_step(x)
        if self.usage.restart_after:
            z = self.encoder(x)
            self.usage.update(self.quantizer.ids(z), z, [self.quantizer.codebook])
        return logs


# %% [markdown]
# Two numbers tell how a codebook is used, given the share $p_k$ of the tokens that are code $k$: how many $p_k$ are
# above 0, and the *perplexity*
#
# $$\exp\Bigl(-\sum_k p_k \ln p_k\Bigr) ,$$
#
# the number of equally frequent codes that would say as much. It is $K$ if all are equally frequent, and 1 if one code
# is always taken. A tokenizer with perplexity $P$ sends $\log_2 P$ bits a token, whatever $K$ is.
#
# The plain quantizer first, with 256 codes that are 256 wide, as wide as the paper's. Does it collapse?

# %%
num_frames, epochs = (64, 3) if FAST else (512, 5)
train, _ = patches(num_frames, "train")
test, test_frames = patches(64, "validation")


def trained(quantizer, restart_after=None, seed=0):
    """A trained autoencoder and what its training logged."""
    keras.utils.set_random_seed(seed)
    model = PatchAutoencoder(quantizer, restart_after)
    model.compile(optimizer=keras.optimizers.Adam(3e-3))
    history = model.fit(train, batch_size=256, epochs=epochs, verbose=0).history
    return model, history


def measured(model):
    """Ids of the held-out patches, their reconstruction as frames, PSNR, codes in use and perplexity."""
    ids = ops.convert_to_numpy(model.quantizer.ids(model.encoder(test)))
    decoded = ops.convert_to_numpy(model(test)).reshape(-1, 8, 8, 8, 8, 3).transpose(0, 1, 3, 2, 4, 5)
    frames = np.clip(decoded.reshape(test_frames.shape) + 0.5, 0, 1)
    psnr = ops.convert_to_numpy(mk.metrics.psnr(test_frames, frames)).mean()
    share = np.bincount(ids, minlength=model.quantizer.codebook_size) / len(ids)
    share = share[share > 0]
    return {
        "ids": ids,
        "frames": frames,
        "psnr": psnr,
        "used": len(share),
        "perplexity": np.exp(-(share * np.log(share)).sum()),
    }


K = 256
models, histories, results = {}, {}, {}


def run(name, quantizer, **options):
    models[name], histories[name] = trained(quantizer, **options)
    results[name] = measured(models[name])
    found = results[name]
    print(f"{name:24s} PSNR {found['psnr']:5.2f} dB, {found['used']:3d} codes, perplexity {found['perplexity']:5.1f}")


run("plain", VectorQuantizer(K, 256, entropy_loss_weight=0.0))

# %%
mk.visualize.plot_codebook_usage(results["plain"]["ids"], K)

# %% [markdown]
# The solid line would have to lie on the dashed one for the 8 bits to be used in full. Instead it breaks off: most
# codes are never used, and of the 8 bits that each token costs in the transformer, fewer than five say anything.
#
# ## Cures
#
# **Entropy loss** (MaskGIT, MAGVIT). Make the choice soft, $p(k|z) = \operatorname{softmax}_k(-\lVert z - e_k \rVert^2
# / \tau)$, and ask for two things: each latent should be sure of its code, and all codes should be equally frequent.
# With $H$ for the entropy,
#
# $$\mathcal{L}_{\text{entropy}} = \mathbb{E}_z \bigl[ H(p(\cdot|z)) \bigr]
#   - H \bigl( \mathbb{E}_z [ p(\cdot|z) ] \bigr) .$$
#
# The second term has a gradient for *every* code, also for those that nobody chose. The temperature $\tau$ must suit
# the distances: if it is far below the differences between them, the softmax is one-hot, and we are back at the plain
# quantizer. The paper's 0.01 suits its networks. Here latents are further apart, and $\tau = 1$.
#
# **Restarts** (Jukebox): as in the plane above; `VQGAN(restart_codes_after=...)` in the library.
#
# **Narrow codes.** In 256 dimensions everything is far from everything, and the few codes that have been pulled to the
# latents win. In 4 dimensions the same number of codes is close together and more of them are somebody's nearest.
#
# **No codebook.** *Finite scalar quantization* (FSQ) rounds each of a few numbers to a few levels:
# $q(z)_i = \operatorname{round}(b_i \tanh z_i)$. The codes are all points of a grid; here $8\cdot 6\cdot 5 = 240$.
# *Lookup-free quantization* (LFQ, MAGVIT-v2) is the extreme: $q(z)_i = \operatorname{sign} z_i$, with the entropy loss.
# Nothing has to be learned, so nothing can die; but a code may still go unused.
#
# Which cures work, and does a fuller codebook mean a better picture?

# %%
run("entropy loss", VectorQuantizer(K, 256, entropy_loss_weight=0.02, entropy_temperature=1.0))
run("restarts", VectorQuantizer(K, 256, entropy_loss_weight=0.0), restart_after=20)
run("4 wide", VectorQuantizer(K, 4, entropy_loss_weight=0.0))
run("FSQ", FiniteScalarQuantizer((8, 6, 5)))
run("LFQ", LookupFreeQuantizer(K, entropy_loss_weight=0.02, entropy_temperature=0.1))

# %%
figure, axes = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
for name, history in histories.items():
    axes[0].plot(np.arange(1, epochs + 1), history["perplexity"], "o-", markersize=3, label=name)
    axes[1].scatter(results[name]["perplexity"], results[name]["psnr"])
    axes[1].annotate(name, (results[name]["perplexity"], results[name]["psnr"]), (4, 4), textcoords="offset points")
axes[0].set(xlabel="epoch", ylabel="perplexity of a batch", yscale="log", title="While training")
axes[0].xaxis.get_major_locator().set_params(integer=True)
axes[0].legend()
axes[1].set(xlabel="perplexity", ylabel="PSNR, dB", title="On held-out frames", xscale="log")
axes[1].margins(x=0.25, y=0.15)
plt.show()

# %%
mk.visualize.plot_codebook_usage({name: results[name]["ids"] for name in ("plain", "entropy loss", "restarts")}, K)

# %%
chosen = [0, 5, 9, 14]
mk.show(
    {"frame": list(test_frames[chosen]), **{name: list(results[name]["frames"][chosen]) for name in results}},
    fps=0,
    columns=4,
)

# %% [markdown]
# Look at the scatter plot before you choose a winner.
#
# - Every cure raises the perplexity above that of the plain quantizer, or at least the number of codes in use.
# - More perplexity is *not* the same as better pictures. Restarts gain most of both here. The entropy loss spreads the
#   codes, but the spreading itself costs something: too much of it, and codes are used evenly that do not fit.
# - FSQ and LFQ cannot collapse in the sense of the plane above; still, not all of their codes come up, and with a small
#   network behind them their fixed grids suit the data less well than codes that could move there. Their strength is
#   size: $2^{18}$ codes cost LFQ nothing, and a codebook of that size would have died.
#
# This is one seed, one small network and a short training. The gap between `plain` and `restarts` is large against what
# a seed changes; that between two neighbours in the plot may not be. Exercise 2 measures it.
#
# ## A real tokenizer
#
# The library ships a 2D-VQ for frames of this data set. It cheats a little: it learned *without* codes first, as a plain
# autoencoder, and its codes then started at the centres of the learned latents, where k-means put them (exercise 4 is
# about this). How does it use its 1024 codes?

# %%
tokenizer = mk.ImageTokenizer.from_preset("2dvq_tiny_moving_shapes")
count = 16 if FAST else 64
ids = ops.convert_to_numpy(tokenizer.encode(test_frames[:count]))
used = len(np.unique(ids))
print(
    f"tokens of a frame {ids.shape[1:]}, codes {tokenizer.codebook_size}, {tokenizer.embedding_dim} wide; {used} occur"
)
mk.visualize.plot_codebook_usage(ids, tokenizer.codebook_size)

# %%
decoded = np.clip(ops.convert_to_numpy(tokenizer.decode(ids[:4])), 0, 1)
maps = mk.visualize.token_map(ids[:4], tokenizer.codebook_size)
mk.show({"frame": list(test_frames[:4]), "tokens": list(maps), "decoded": list(decoded)}, fps=0, columns=4)

# %% [markdown]
# Each coloured cell is one token; equal tokens have equal colours. Plain background of one colour has equal tokens over
# large areas, which is why a *perfectly* even use is not to be had: the data does not contain it.
#
# ## Exercises
#
# **1. The wrong temperature.** Train with the entropy loss at $\tau = 0.01$. What happens to the perplexity and to the
# PSNR, and why? Hint: what is $p(k|z)$ when squared distances differ by more than a few hundredths?
#
# <details><summary>Solution</summary>
#
# ```python
# run("entropy, 0.01", VectorQuantizer(K, 256, entropy_loss_weight=0.02, entropy_temperature=0.01))
# z = ops.convert_to_numpy(models["entropy loss"].encoder(test[:1000]))
# codes = ops.convert_to_numpy(models["entropy loss"].quantizer.codebook)
# squared = np.sort(((z[:, None] - codes[None]) ** 2).sum(axis=2), axis=1)
# print("second nearest minus nearest, median:", np.median(squared[:, 1] - squared[:, 0]))
# ```
#
# The squared distances to the nearest and to the second nearest code differ by much more than 0.01, so the soft choice
# is a hard one: its entropy is 0 and has no gradient, and the second term of the loss reaches the chosen codes alone.
# The temperature belongs on the scale of those differences.
#
# </details>
#
# **2. How much is noise?** Train `plain` and `restarts` with three seeds each. How large is the standard deviation of
# the PSNR, and how large is the gap between the two?
#
# <details><summary>Solution</summary>
#
# ```python
# for name, restart_after in (("plain", None), ("restarts", 20)):
#     values = [results[name]["psnr"]]
#     for seed in (1,) if FAST else (1, 2):
#         model, _ = trained(VectorQuantizer(K, 256, entropy_loss_weight=0.0), restart_after, seed)
#         values.append(measured(model)["psnr"])
#     print(f"{name}: mean {np.mean(values):.2f} dB, standard deviation {np.std(values, ddof=1):.2f} dB")
# ```
#
# </details>
#
# **3. How many bits?** Train FSQ with (4, 4), (8, 6, 5) and (8, 5, 5, 5) levels: 16, 240 and 1000 codes. Plot PSNR
# against $\log_2$ of the perplexity, the bits that a token really sends. What does one more bit buy?
#
# <details><summary>Solution</summary>
#
# ```python
# found = {(8, 6, 5): results["FSQ"]}
# for levels in ((4, 4), (8, 5, 5, 5)):
#     found[levels] = measured(trained(FiniteScalarQuantizer(levels))[0])
# for levels, result in sorted(found.items()):
#     print(levels, f"{np.log2(result['perplexity']):.1f} bits, {result['psnr']:.2f} dB")
# ```
#
# If the data filled $d$ dimensions evenly, $b$ bits more would divide each of them $2^{b/d}$ times finer, and a bit
# would buy $20 \log_{10} 2 / d = 6.02 / d$ dB. About one dB a bit therefore says: to this network, a patch is a thing
# of half a dozen dimensions.
#
# </details>
#
# **4. Start on the data.** The codes of the plane died because they started in the middle. Initialise them with 16
# random points instead. How many survive? Why does this not settle the matter in a network?
#
# <details><summary>Solution</summary>
#
# ```python
# path = learn_codes(points[rng.integers(0, len(points), 16)])
# print(len(np.unique(nearest(points, path[-1]))), "of 16 in use")
# ```
#
# All of them, or nearly all. In a network the latents themselves move: they start as what a random encoder makes, and
# codes that were placed there are left behind while the encoder learns. Restarts place codes again and again; the
# shipped tokenizer placed them once, when its encoder had already learned.
#
# </details>
#
# ## Further reading
#
# - MAGVIT ([arXiv 2212.05199](https://arxiv.org/abs/2212.05199)), Sec. 3.1; `magvit_keras/tokenizer/quantizer.py`.
# - VQ-VAE ([arXiv 1711.00937](https://arxiv.org/abs/1711.00937)), Sec. 3: codebook loss, commitment, straight-through.
# - MaskGIT ([arXiv 2202.04200](https://arxiv.org/abs/2202.04200)): the tokenizer whose entropy loss MAGVIT takes over.
# - Jukebox ([arXiv 2005.00341](https://arxiv.org/abs/2005.00341)), Sec. 3.1: restarts.
# - FSQ ([arXiv 2309.15505](https://arxiv.org/abs/2309.15505)); MAGVIT-v2, LFQ
#   ([arXiv 2310.05737](https://arxiv.org/abs/2310.05737)), Sec. 3.1.
# - The library's tokenizers take any of these: `mk.VideoTokenizer(quantizer="fsq", fsq_levels=(8, 5, 5, 5))`.
# - Next: [lesson 3](03_video_tokenizer.ipynb), from frames to clips.
