# %% [markdown]
# # 8. Evaluation: what the numbers say
#
# **You will learn**
#
# - what PSNR, SSIM and LPIPS compare, and why none of them can judge a prediction of an uncertain future;
# - what a Fréchet distance is, what "features" means in it, and to compute one in six lines;
# - why the distance of two samples of the *same* data is not zero, how it falls with the number of clips, and how to
#   read a score in spite of that;
# - why the FVDs of two papers differ although the models may not;
# - to make reports that say everything a score depends on, and to compare only what can be compared.
#
# About 30 minutes. Paper: Sec. 4 and App. B.3. You need [lesson 1](01_clips.ipynb); a trained model comes with the
# package.

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
import tempfile
import warnings

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import ops

keras.utils.set_random_seed(0)
LOOK = {"look": "plain"}  # what the tokenizers at the end have learned
N = 48 if FAST else 96

source = mk.data.MovingShapes(2 * N, num_frames=16, size=(64, 64), split="test", **LOOK)
data = source.arrays()
clips, labels = data["video"].astype("float32") / 255, data["label"]
reference, clean = clips[:N], clips[N:]  # two halves, no clip in common
print(clips.shape, "from", clips.min(), "to", clips.max())

# %% [markdown]
# Three different questions are called "evaluation":
#
# 1. *Is this clip that clip?* There is one true answer: a reconstruction, or a frame that was left out. PSNR, SSIM,
#    LPIPS.
# 2. *Could these clips be real?* Only the two **sets** can be compared: Fréchet and kernel distances.
# 3. *Do they show what was asked for?* The class, the prompt, the given frames: accuracy of a classifier.
#
# ## Against the true clip
#
# With pixels in $[0, 1]$ and the mean squared error over a frame of $P$ values,
#
# $$\mathrm{MSE} = \frac1P \sum_p (x_p - y_p)^2, \qquad \mathrm{PSNR} = -10 \log_{10} \mathrm{MSE}\ \text{dB}.$$
#
# Ten dB are a factor of ten in the squared error. PSNR treats every pixel alone. SSIM looks at windows $w$ of 11×11
# pixels with Gaussian weights and multiplies three comparisons there, of mean, contrast and structure, which comes to
#
# $$\mathrm{SSIM}(x, y) = \Big\langle \frac{(2\mu_x\mu_y + c_1)\,(2\sigma_{xy} + c_2)}
#   {(\mu_x^2 + \mu_y^2 + c_1)\,(\sigma_x^2 + \sigma_y^2 + c_2)} \Big\rangle_w ,$$
#
# with $c_1 = 0.01^2$, $c_2 = 0.03^2$ against division by zero. It is 1 for equal frames.
#
# The next cell damages clips in three ways, each scaled so that **the PSNR is exactly the same**. Which looks worst to
# you, and does SSIM agree?


# %%
def blur(video, radius):
    """The mean over boxes of (2 radius + 1)^2 pixels, one axis at a time."""
    for axis in (2, 3):
        size = video.shape[axis]
        width = [(0, 0)] * 5
        width[axis] = (radius + 1, radius)
        sums = np.cumsum(np.pad(video, width, mode="edge"), axis=axis, dtype="float32")
        last, first = (np.take(sums, range(k, k + size), axis) for k in (2 * radius + 1, 0))
        video = (last - first) / (2 * radius + 1)
    return video


def of_equal_psnr(video, damaged, decibel=24.0):
    """Moves each clip towards its damaged version as far as the PSNR allows."""
    error = damaged - video
    mse = np.mean(error**2, axis=(1, 2, 3, 4), keepdims=True)
    return video + error * np.sqrt(10 ** (-decibel / 10) / mse)


noise = np.random.default_rng(0).standard_normal(clean.shape, "float32")
equal = {
    "brighter": of_equal_psnr(clean, clean + 0.1),
    "noise": of_equal_psnr(clean, clean + noise),
    "blur": of_equal_psnr(clean, blur(clean, 3)),
}
for name, damaged in equal.items():
    mse = np.mean((damaged - clean) ** 2)
    shown = np.clip(damaged, 0, 1)
    ssim = float(ops.mean(mk.metrics.ssim(shown[:16], clean[:16])))
    print(f"{name:>8}: PSNR {-10 * np.log10(mse):.2f} dB, SSIM {ssim:.3f}")

mk.show({"true": clean[0], **{name: np.clip(video[0], 0, 1) for name, video in equal.items()}}, fps=4)

# %% [markdown]
# A change of brightness that you hardly notice, grain, and lost outlines have one PSNR. SSIM does not mind the
# brightness and punishes the noise, which it sees as lost structure in every flat window. Neither number says
# "this one looks wrong" as you would.
#
# **LPIPS** asks a network instead. Let $\hat\phi_l(x)$ be the activations of layer $l$ of an image classifier, scaled
# to length 1 at every place. Then
#
# $$\mathrm{LPIPS}(x, y) = \sum_l \frac{1}{H_l W_l} \sum_{h, w}
#   \big\| w_l \odot \big(\hat\phi_l(x)_{hw} - \hat\phi_l(y)_{hw}\big) \big\|_2^2 ,$$
#
# and the weights $w_l \ge 0$ were fitted to judgements of people. The library has the network and the fitted weights;
# the trunk (VGG16, half a gigabyte) is yours to download, see `docs/how_to/metrics.md`. The cell uses it where you have
# it.

# %%
if os.environ.get("MAGVIT_KERAS_LPIPS_VGG16"):
    lpips = mk.convert.load_lpips()
    for name, damaged in equal.items():
        print(f"{name:>8}: LPIPS {float(ops.mean(lpips(np.clip(damaged[:2], 0, 1), clean[:2]))):.3f}")
else:
    print("No VGG16 weights here: set MAGVIT_KERAS_LPIPS_VGG16 to their path and run this cell again.")

# %% [markdown]
# ## Many futures, one truth
#
# Five frames of a bouncing shape determine the next ones fairly well. In most videos they do not, and then a measure
# against the one true continuation asks the wrong question. Say that after the given frames the truth is $x$, random,
# and a model answers with $\hat x$. The expected squared error is smallest for $\hat x = \mathrm{E}[x]$, the **mean of
# all futures**, which is itself a blur and no possible future at all.
#
# Take $k$ samples of the model for one condition. Their mean can have no larger squared error than the samples have on
# average (the square is convex). So it should win in PSNR although nobody would call it the better video:

# %%
magvit = mk.Magvit.from_preset("magvit_tiny_moving_shapes")
k, scenes = (2, 1) if FAST else (5, 2)
learned = mk.data.MovingShapes(scenes, 16, (64, 64), split="test", look="grid")  # what this model knows
truth = learned.arrays()["video"].astype("float32") / 255
# One call: the scenes are repeated, and each copy has noise of its own.
samples = magvit.generate("frame_prediction", video=np.repeat(truth, k, axis=0), num_steps=8, seed=1)
samples = samples.reshape(scenes, k, *truth.shape[1:])
mean = samples.mean(axis=1)


def psnr(video, true):
    """PSNR of the mean squared error of a clip: (N,). Frames that are equal would have infinite PSNR by themselves."""
    return -10 * np.log10(np.mean((video - true) ** 2, axis=(1, 2, 3, 4)))


each = np.stack([psnr(samples[:, i], truth) for i in range(k)])  # (k, scenes)
print(f"one sample, on average: {each.mean():.2f} dB")
print(f"best of {k}:              {each.max(axis=0).mean():.2f} dB")
print(f"mean of {k}:              {psnr(mean, truth).mean():.2f} dB")
mk.show({"true": truth[0], "sample 1": samples[0, 0], "sample 2": samples[0, 1], f"mean of {k}": mean[0]}, fps=6)

# %% [markdown]
# The paper reports PSNR on BAIR as the *best of 100* samples (App. B.3), which asks: "is the true future among those
# that the model thinks of?" More tries raise that number without a better model, so it means nothing without the count.
# `mk.metrics.best_of` computes it, one try at a time.
#
# ## Sets of clips: the Fréchet distance
#
# Send all clips through a network that was trained to recognise what matters, keep $D$ features of each, and compare
# the two clouds of points. The Fréchet distance compares only their means and covariances, as if both were Gaussian:
#
# $$d^2 = \|\mu_1 - \mu_2\|^2 + \operatorname{tr}\!\Big(\Sigma_1 + \Sigma_2 - 2\,(\Sigma_1 \Sigma_2)^{1/2}\Big).$$
#
# It is the squared Wasserstein-2 distance of the two Gaussians; in one dimension it is $(\mu_1 - \mu_2)^2 + (\sigma_1 -
# \sigma_2)^2$. **FVD** is this distance with the 400 logits of one particular network, I3D trained on Kinetics. The
# trace of the root is the sum of the singular values of $\Sigma_1^{1/2} \Sigma_2^{1/2}$, so:


# %%
def root(covariance):
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T


def frechet(a, b):
    """Of features (N, D) and (M, D)."""
    s1, s2 = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    cross = np.linalg.svd(root(s1) @ root(s2), compute_uv=False).sum()
    return np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(s1) + np.trace(s2) - 2 * cross


classifier = mk.metrics.shapes_classifier()  # of the 36 classes of Moving Shapes; comes with the package


def features(video):
    return mk.metrics.clip_features(np.clip(video, 0, 1), classifier.features, batch_size=24)[0]


real, undamaged = features(reference), features(clean)
print("features:", real.shape)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # with few clips, as in a quick run, it warns: the next section says why
    by_library = mk.metrics.frechet_distance(real, undamaged)
print(f"here {frechet(real, undamaged):.4f}, by the library {by_library:.4f}")
print(f"a set against itself: {frechet(real, real):.2e}")

# %% [markdown]
# I3D's weights are a download, so this lesson uses the small classifier of Moving Shapes that comes with the package.
# The library calls the result *shapes-FVD (not comparable with published FVD)*, because another network makes another
# ruler.
#
# ## The distance of a set from its own kind
#
# Both halves above are clean clips of one distribution, and their distance is not 0. Means and covariances are
# estimated from $n$ clips, the distance is convex in the errors, and so the errors add up instead of cancelling. To
# first order the bias falls as $1/n$. Its size depends on the covariance, and so on the network:
# `mk.metrics.expected_bias` estimates it.
#
# The next cell draws pairs of disjoint sets of $n$ clean clips each, many times. Does the distance fall as $1/n$? And
# the same question for the **kernel distance** (MMD): with a kernel $\kappa$ such as $\exp(-\|x - y\|^2 / 2h^2)$,
#
# $$\mathrm{MMD}^2 = \frac{1}{n(n-1)} \sum_{i \ne j} \kappa(x_i, x_j) + \frac{1}{m(m-1)} \sum_{i \ne j} \kappa(y_i, y_j)
#   - \frac{2}{nm} \sum_{i, j} \kappa(x_i, y_j).$$
#
# Leaving out $i = j$ makes its expected value exact for every $n$: 0 where the distributions are equal.

# %%
pool = np.concatenate([real, undamaged])
if not FAST:  # more clean clips: features of one take a few milliseconds
    more = mk.data.MovingShapes(192, num_frames=16, size=(64, 64), split="test", seed=1, **LOOK)
    pool = np.concatenate([pool, features(more.arrays()["video"].astype("float32") / 255)])
pairs = pool[:, None] - pool[None]
bandwidth = float(np.median(np.sqrt((pairs**2).sum(-1))))  # the usual choice: the median distance
kernel = {"kernel": "gaussian", "bandwidth": bandwidth}

counts = [n for n in (24, 36, 48, 72, 96, 128, 192) if 2 * n <= len(pool) and (FAST or n > 24)]
rng, found = np.random.default_rng(0), {}
for n in counts:
    for _ in range(20):
        order = rng.permutation(len(pool))
        a, b = pool[order[:n]], pool[order[n : 2 * n]]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # fewer clips than features: that is what is studied here
            pair = (frechet(a, b), mk.metrics.expected_bias(a, b), mk.metrics.kernel_distance(a, b, **kernel))
        found.setdefault(n, []).append(pair)
found = {n: np.array(rows) for n, rows in found.items()}
distance, expected, mmd = (np.array([[row[i] for row in found[n]] for n in counts]) for i in range(3))
slope, _ = np.polyfit(np.log(counts), np.log(distance.mean(1)), 1)
print(f"Clean against clean: the Fréchet distance goes as n^{slope:.2f}.")

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
left.errorbar(counts, distance.mean(1), distance.std(1), fmt="o", capsize=3, label="Fréchet distance, 20 draws")
left.plot(counts, expected.mean(1), "--", label="expected_bias")
left.plot(counts, distance.mean(1)[-1] * counts[-1] / np.array(counts), ":", color="0.4", label="slope -1")
left.axvline(real.shape[1], color="0.8", zorder=0)
left.set(xscale="log", yscale="log", xlabel="clips in each set, n", title="Fréchet: biased, falls as 1/n")
left.set_xticks(counts, counts, minor=False)
left.minorticks_off()
left.legend()
right.axhline(0, color="0.4", linewidth=0.8)
right.errorbar(counts, mmd.mean(1), mmd.std(1), fmt="s", capsize=3, color="C2")
right.set(xlabel="clips in each set, n", title="Kernel distance: 0 on average at every n")
plt.show()

# %% [markdown]
# On the left, the points lie on a line of slope −1: twice the clips, half the distance, of sets that do not differ at
# all. The grey vertical line is the number of features. With fewer clips than that the covariance is singular, and the
# library warns. On the right there is noise, but no trend: the error bars enclose 0 at every $n$. That is why newer
# proposals (KVD, JEDi) take a kernel distance where only some thousand clips can be made.
#
# Two ways out of the bias: report the same large $n$ as everyone else (the paper: 10,000 to 50,000 clips), or measure
# at several $n$ and extrapolate the line $d^2 = d^2_\infty + c/n$ to $1/n = 0$. The second works with few clips. For
# clips with a little blur, whose true distance is not 0:

# %%
everything = np.concatenate([real, undamaged])
blurred = np.concatenate([features(blur(half, 1)) for half in (reference, clean)])
inverse, measured = [], []
for n in [n for n in (24, 36, 48, 64, 80, 96) if n <= N and (FAST or n >= real.shape[1])]:
    for _ in range(20):
        order = rng.permutation(len(blurred))  # no clip in common
        inverse.append(1 / n)
        measured.append(frechet(everything[order[:n]], blurred[order[n : 2 * n]]))
c, infinite = np.polyfit(inverse, measured, 1)
print(f"d2(n) = {infinite:.0f} + {c:.0f} / n: {infinite + c / 24:.0f} at n = 24, {infinite + c / N:.0f} at n = {N}")

plt.figure(figsize=(5, 3.2))
plt.plot(inverse, measured, ".", alpha=0.4)
plt.plot([0, max(inverse)], [infinite, infinite + c * max(inverse)], "k-")
plt.plot(0, infinite, "k*", markersize=12, label="extrapolated to infinitely many clips")
plt.xlabel("1 / n")
plt.ylabel("Fréchet distance, blurred clips")
plt.legend()
plt.show()

# %% [markdown]
# ## What does it react to?
#
# A measure is a claim about what matters. Test the claim: damage clips by known amounts and see whether the number
# rises. Two kinds of damage here act on frames, two on **time** alone. In the latter every single frame stays a real
# frame, so no measure of single frames can notice anything.


# %%
def shuffled(video, part):
    """A part of the frames of each clip change places."""
    video = video.copy()
    for clip in video:
        moved = np.random.default_rng(0).choice(len(clip), round(part * len(clip)), replace=False)
        clip[np.sort(moved)] = clip[moved]
    return video


def frozen(video, part):
    """The last part of the clip stands still."""
    return video[:, np.minimum(np.arange(video.shape[1]), round((1 - part) * video.shape[1]) - 1)]


damages = {
    "noise": ((0.05, 0.1, 0.2), lambda s: np.clip(clean + s * noise, 0, 1)),
    "blur": ((1, 2, 3), lambda s: blur(clean, s)),
    "shuffled frames": ((0.25, 0.5, 1.0), lambda s: shuffled(clean, s)),
    "frozen end": ((0.25, 0.5, 0.75), lambda s: frozen(clean, s)),
}
rows = {}
for name, (strengths, damage) in damages.items():
    for strength in strengths[:1] if FAST else strengths:
        video = damage(strength)
        found = features(video)
        # A class is a shape and a motion, and the classifier's last layers guess them one by one.
        shape, motion = (np.argmax(ops.convert_to_numpy(part(found)), axis=1) for part in classifier.parts)
        rows[name, strength] = {
            "shapes-FVD": frechet(real, found),
            "accuracy": np.mean(shape * len(classifier.motions) + motion == labels[N:]),
            "PSNR": np.median(psnr(video, clean)),
        }
print(f"{'undamaged':>22}: shapes-FVD {frechet(real, undamaged):7.1f}")
for (name, strength), row in rows.items():
    print(f"{name:>17} {strength:<4g}: " + ", ".join(f"{key} {value:7.2f}" for key, value in row.items()))

# %%
figure, axes = plt.subplots(1, 2, figsize=(10, 3.4), layout="constrained")
for place, key in zip(axes, ("shapes-FVD", "accuracy"), strict=True):
    for (name, (strengths, _)), marker in zip(damages.items(), "osv^", strict=True):
        values = [rows[name, s][key] for s in strengths if (name, s) in rows]
        place.plot(range(1, len(values) + 1), values, marker + "-", label=name)
    place.set(xticks=[1, 2, 3], xticklabels=["weak", "medium", "strong"], title=key)
axes[0].axhline(frechet(real, undamaged), color="0.4", linestyle=":", label="undamaged")
axes[0].set_yscale("log")
axes[0].legend()
plt.show()

# %% [markdown]
# Compare PSNR with shapes-FVD in the table. Blur of one pixel costs little PSNR and much distance. Noise of 0.1 has a
# far lower PSNR and hardly any distance: this classifier was trained with noise on its input and has learned to ignore
# it. Blur it was not. **A Fréchet distance sees what its network sees.** The same holds for FVD: I3D was trained to
# name human actions in Kinetics, which can be done from a few frames, and it was found to weigh the look of frames more
# than motion ([arXiv 2404.12391](https://arxiv.org/abs/2404.12391)).
#
# The accuracy on the right answers the third question, whether a clip shows its class. A set can be perfectly realistic
# and ignore what was asked for, so report both for class-conditional generation (`mk.metrics.shapes_accuracy`).
#
# ## Why two papers disagree
#
# Take two "models": A makes noisy clips, B makes blurred ones. Which is better? The next cell measures both in ways
# that differ only in what papers often leave unsaid.

# %%
A, B = np.clip(clean + 0.15 * noise, 0, 1), blur(clean, 1)
untrained = mk.metrics.ShapesFeatures(name="untrained")


def through(video, network=classifier.features):
    return mk.metrics.clip_features(np.clip(video, 0, 1), network, batch_size=24)[0]


def logits(found):
    """What the classifier makes of its features: the sum of a shape's and a motion's logit for each class."""
    shape, motion = (ops.convert_to_numpy(part(found)) for part in classifier.parts)
    return (shape[:, :, None] + motion[:, None]).reshape(len(found), -1)


def smaller(video):  # the mean of 2x2 pixels
    return video.reshape(*video.shape[:2], 32, 2, 32, 2, 3).mean(axis=(3, 5))


made = {"A": through(A), "B": through(B)}
small = through(smaller(reference))
scores = {
    "as above": [frechet(real, found) for found in made.values()],
    "half the clips": [frechet(real[::2], found[::2]) for found in made.values()],
    "against the very clips they were made from": [frechet(undamaged, found) for found in made.values()],
    "logits instead of features": [frechet(logits(real), logits(found)) for found in made.values()],
    "at 32x32": [frechet(small, through(smaller(video))) for video in (A, B)],
}
if not FAST:
    short, other = through(reference[:, :8]), through(reference, untrained)
    scores |= {
        "at 32x32, made ones by the nearest pixel": [frechet(small, through(x[:, :, ::2, ::2])) for x in (A, B)],
        "8 of the 16 frames": [frechet(short, through(x[:, :8])) for x in (A, B)],
        "another network (untrained)": [frechet(other, through(x, untrained)) for x in (A, B)],
    }
for name, (a, b) in scores.items():
    print(f"{name:>43}: A {a:9.4g}   B {b:9.4g}   the better one: {'A' if a < b else 'B'}")

# %%
figure, place = plt.subplots(figsize=(8, 3.6), layout="constrained")
ratio = [np.log2(b / a) for a, b in scores.values()]
place.barh(list(scores), ratio, color=["C0" if r > 0 else "C1" for r in ratio])
place.axvline(0, color="k", linewidth=0.8)
place.invert_yaxis()
place.set_xlabel("log2 (score of B / score of A): to the right A wins, to the left B")
plt.show()

# %% [markdown]
# The clips are the same in every row. The scores are not even of one order of magnitude, and where the bars point in
# different directions, the *ranking* depends on the choice. In published FVDs these choices hide:
#
# - **Network file.** Kinetics-400 logits of one checkpoint, converted several times; others of the same name differ.
# - **Resize.** I3D takes 224×224. The original code uses TensorFlow 1's bilinear rule, ports in PyTorch half-pixel
#   centres. Some squeeze frames, others crop them. StyleGAN papers found the same for FID ([arXiv 2104.11222](https://arxiv.org/abs/2104.11222)).
# - **Frames.** 16 frames at full rate or every second one; clips made at 128×128 and measured at 64×64 (the paper's
#   Kinetics-600 protocol).
# - **Real statistics.** Train or test split, one window or all windows of a video, mirrored or not, and whether the
#   clips that gave the conditions are the ones that are compared with. The paper's BAIR table has a *debiased* column
#   for this reason: 256 test videos against 25,600 samples made from them, or against all 15 windows of each.
# - **Count.** 2,048 samples have another bias than 10,000.
#
# So an FVD copied from a table is comparable only with numbers of the same code on the same clips.
#
# ## Reports
#
# The library writes these choices down for you. `mk.evaluation.evaluate` runs a protocol and makes a report which holds
# the scores, every choice, and every deviation from the protocol. Here: two tokenizers, the 3D-VQ and the 2D-VQ that
# encodes each frame by itself, reconstruct the same clips.

# %%
folder = tempfile.mkdtemp()
how = {
    "metrics": ["psnr", "ssim", "accuracy", "codebook_use"],
    "video_shape": (16, 64, 64),
    "batch_size": 4 if FAST else 12,
    "verbose": 0,
}
reader = {**LOOK, "shapes": list(source.shapes), "motions": list(source.motions), "num_clips": 4 if FAST else 36}
tokenizer = mk.VideoTokenizer.from_preset("3dvq_tiny_moving_shapes")
reports = {
    name: mk.evaluation.evaluate(model, "moving_shapes_reconstruction", f"{folder}/{name}", reader=reader, **how)
    for name, model in {
        "3D-VQ": tokenizer,
        "2D-VQ": mk.ImageTokenizer.from_preset("2dvq_tiny_moving_shapes"),
    }.items()
}
print("Deviations:", *reports["3D-VQ"]["deviations"], sep="\n  ")
print(mk.evaluation.compare(list(reports.values()), list(reports)))

# %% [markdown]
# `report.md` in the folder is the page to read, `report.json` the file to compare. Read the comparison with care: the
# 2D-VQ spends a token on 1×4×4 pixels, the 3D-VQ on 4×4×4, so it has four times the tokens for the same clip, which the
# transformer must then generate. A tokenizer is a trade between the two, and the report tells the sizes.
#
# Now measure one of them on other clips and try to rank it with the first:

# %%
other = {**how, "metrics": ["psnr"], "reader": {**reader, "look": "textured", "num_clips": 4}}
report = mk.evaluation.evaluate(tokenizer, "moving_shapes_reconstruction", f"{folder}/other", **other)
try:
    mk.evaluation.compare([reports["3D-VQ"], report], ["plain", "textured"])
except ValueError as refusal:
    print(refusal)

# %% [markdown]
# Refused, with the reasons: what differs is the data, not the model. On the command line the two steps are
# `magvit-keras evaluate --protocol ... --run ... --out ...` and `magvit-keras compare A B`; a choice that you vary on
# purpose is named, as in `--vary decoding.num_steps`.
#
# ## Exercises
#
# **1.** In one dimension, let $a \sim \mathcal N(0, 1)$ and $b \sim \mathcal N(m, s^2)$. Check the closed form of the
# Fréchet distance by simulation.
#
# <details><summary>Solution</summary>
#
# ```python
# rng = np.random.default_rng(0)
# m, s = 1.5, 0.5
# a, b = rng.normal(0, 1, (100_000, 1)), rng.normal(m, s, (100_000, 1))
# print(mk.metrics.frechet_distance(a, b), m**2 + (1 - s) ** 2)  # both 2.5, to about 1%
# ```
#
# </details>
#
# **2.** The distance sees means and covariances only. Make two sets of points that look nothing alike and have
# distance 0. Does the kernel distance notice?
#
# <details><summary>Solution</summary>
#
# A Gaussian cloud, and a ring of the same mean and covariance:
#
# ```python
# rng = np.random.default_rng(0)
# angle = rng.uniform(0, 2 * np.pi, 4000)
# ring = np.sqrt(2) * np.stack([np.cos(angle), np.sin(angle)], axis=1)  # covariance 1, as the cloud's
# cloud = rng.normal(size=(4000, 2))
# print(mk.metrics.frechet_distance(cloud, ring))  # about 0.001: that is the bias
# print(mk.metrics.kernel_distance(cloud, ring, kernel="gaussian", bandwidth=1.0))  # about 0.03, far from 0
# ```
#
# A Gaussian kernel sees all moments. A polynomial of degree 3 sees three of them: here it would not notice either.
#
# </details>
#
# **3.** A colleague reports a shapes-FVD of 30 from 100 clips. How much of it is bias?
#
# <details><summary>Solution</summary>
#
# ```python
# take = min(100, N)
# print(mk.metrics.expected_bias(real[:take], undamaged[:take]))
# ```
#
# Two sets of 100 clean clips already have a distance in the forties to sixties by chance, if classes are drawn at
# random. (Moving Shapes takes its classes in turn, which makes the chance differences smaller.) 30 from 100 clips is no
# evidence of any difference.
#
# </details>
#
# **4.** Reverse the clips in time. Does shapes-FVD notice? Should it?
#
# <details><summary>Solution</summary>
#
# ```python
# print(frechet(real, features(clean[:, ::-1])), frechet(real, undamaged))
# ```
#
# The two are close. The motions of Moving Shapes look the same backwards, and a set that is its own mirror image in
# time should have distance 0. On videos of people pouring water the answer must be another one: whether a measure
# should notice depends on the data.
#
# </details>
#
# ## Further reading
#
# - MAGVIT ([arXiv 2212.05199](https://arxiv.org/abs/2212.05199)): Sec. 4.1 and App. B.3, the protocols; Table 7, reconstruction FVD of tokenizers.
# - FVD ([arXiv 1812.01717](https://arxiv.org/abs/1812.01717)); its bias to single frames, and content-debiased FVD ([arXiv 2404.12391](https://arxiv.org/abs/2404.12391)); JEDi, a kernel
#   distance on V-JEPA features ([arXiv 2410.05203](https://arxiv.org/abs/2410.05203)).
# - Bias and extrapolation of FID ([arXiv 1911.07023](https://arxiv.org/abs/1911.07023)); resizing and FID ([arXiv 2104.11222](https://arxiv.org/abs/2104.11222)); kernel inception distance
#   ([arXiv 1801.01401](https://arxiv.org/abs/1801.01401)); LPIPS ([arXiv 1801.03924](https://arxiv.org/abs/1801.03924)).
# - In the library: `magvit_keras/metrics/frechet.py`, `kernel.py`, `frames.py`; `docs/how_to/metrics.md`,
#   `evaluate.md`; `benchmarks/fvd_sanity.py` has the damage curves in large.
# - Next: [lesson 9](09_your_own_videos.ipynb), all of it on videos of yours.
