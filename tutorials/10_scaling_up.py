# %% [markdown]
# # 10. Scaling up: what it costs, and where the limits are
#
# **You will learn**
#
# - to count the operations, the memory and the memory traffic of the paper's B model before you rent anything;
# - why decoding all tokens in 12 steps suits the hardware, and a token at a time does not;
# - how the cost grows with clip length and resolution, measured;
# - what mixed precision, gradient accumulation, rematerialisation and cached tokens each buy;
# - to train on several devices with `keras.distribution`, tried here on simulated ones.
#
# About 30 minutes. Paper: Table 8 and App. B.2 (sizes and training), Sec. 4.3 (speed). You need lessons 3 and 5.

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
import json
import math
import tempfile
import time

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import ops

from magvit_keras.training.optimizers import KernelDecayAdamW
from magvit_keras.presets import estimates
from magvit_keras.presets.tokenizers import VIDEO_TOKENIZERS
from magvit_keras.presets.transformers import MAGVITS, transformer_config

keras.utils.set_random_seed(0)

# %% [markdown]
# ## Operations
#
# A transformer with $L$ layers of width $d$ and MLPs of width $4d$ has $12 d^2$ weights a layer: four projections and
# two MLP matrices of $4 d^2$ each. Every weight is multiplied with every one of the $N$ tokens, and attention adds two
# products of $N \times N$ by $d$:
#
# $$\text{FLOP}_{\text{forward}} \approx \underbrace{2 \cdot 12\, d^2 L N}_{\text{weights}}
#   + \underbrace{2 \cdot 2\, d L N^2}_{\text{attention}}, \qquad
#   \text{FLOP}_{\text{training step}} \approx 3 \times \text{FLOP}_{\text{forward}},$$
#
# because the backward pass needs a product for the gradient of the input and one for that of the weights. (A
# multiplication with an addition counts as 2.) Attention overtakes the rest where $N > 6d$: at 4,600 tokens for $d =
# 768$.
#
# The library counts the same from a preset's configuration, layer by layer. Nothing is built, so this is instant:

# %%
config = MAGVITS["magvit_base_ucf101_cg"]["config"]["transformer"]["config"]
d, L, N = config["hidden_size"], config["num_layers"], math.prod(config["latent_shape"])
by_hand = 2 * 12 * d**2 * L * N + 2 * 2 * d * L * N**2

transformer = estimates.transformer_cost(config)
tokenizer = estimates.tokenizer_cost(VIDEO_TOKENIZERS["3dvq_base_ucf101"]["config"], (16, 128, 128))
print(f"transformer B: {transformer.parameters:,} weights, {2 * transformer.macs / 1e9:.0f} GFLOP forward")
print(
    f"   by the formula: {by_hand / 1e9:.0f} GFLOP; the rest is the output layer over {config['codebook_size']} codes"
)
print(f"3D-VQ B: {tokenizer.parameters:,} weights, {2 * tokenizer.macs / 1e9:.0f} GFLOP to encode and decode a clip")

# %% [markdown]
# Three facts follow.
#
# **The tokenizer is the smaller model and the larger computation.** A convolution uses each weight once per *pixel*.
#
# **Speed.** To generate a clip takes 12 passes of the transformer and one of the decoder, which has about two thirds of
# the tokenizer's operations. The paper reports 37 frames per second on a V100 for this model (Sec. 4.3). How much of
# the card's peak is that?

# %%
decode = 2 * tokenizer.macs * 2 / 3
clip = 12 * 2 * transformer.macs + decode
print(f"a clip: {clip / 1e12:.1f} TFLOP, of which the transformer {12 * 2 * transformer.macs / clip:.0%}")
achieved = clip * 37 / 16
print(f"37 frames/s are {achieved / 1e12:.1f} TFLOP/s: {achieved / 15.7e12:.0%} of a V100's 15.7 in float32")

# %% [markdown]
# **Training.** For each recipe of the paper the library estimates memory and time from these counts, by rules that
# `estimates.ASSUMPTIONS` spells out (30% of an A100's peak in TF32):

# %%
from magvit_keras.presets.recipes import get_recipe

for name in ("ucf101-3dvq-base", "ucf101-cg-base", "ucf101-3dvq-large", "ucf101-cg-large"):
    cost = estimates.estimate(get_recipe(name))
    days, kept = cost.seconds / 86400, cost.clip_bytes / 1e9
    print(f"{name:>18}: {cost.run_operations:.1e} FLOP, {days:5.1f} A100 days; {kept:.2f} GB of activations a clip")

# %% [markdown]
# ## Bandwidth: why 12 steps of everything beat 1024 steps of one token
#
# A chip can compute much faster than it can fetch. An operation that does $F$ FLOP on $Q$ bytes takes at least
#
# $$t \ge \max\Big(\frac{F}{\text{peak}}, \frac{Q}{\text{bandwidth}}\Big),$$
#
# so it reaches the peak only if its *intensity* $F/Q$ exceeds peak / bandwidth, the "ridge" of the chip. Count it for
# operations of the B model with 2-byte numbers, every input read and every output written once. Which of them can use
# the chip, and which wait for memory?


# %%
def product(m, k, n):
    """FLOP per byte of (m, k) times (k, n)."""
    return 2 * m * k * n / (2 * (m * k + k * n + m * n))


cells, width = 16 * 128 * 128, 64
intensity = {
    "3x3x3 convolution, 64 channels": 2 * cells * 27 * width**2 / (2 * (2 * cells * width + 27 * width**2)),
    "MLP, a clip of 1026 tokens": product(1026, d, 4 * d),
    "MLP, 16 clips": product(16 * 1026, d, 4 * d),
    "attention scores of a head, N = 1026": product(1026, 64, 1026),
    "MLP, one token (autoregressive)": product(1, d, 4 * d),
    "normalization and activation": 10 / 4,
    "Adam, a weight": 12 / 28,
}
# Peak in 16 bit and bandwidth, from the makers' data sheets: FLOP/s, bytes/s, bytes of memory.
chips = {
    "T4": (65e12, 320e9, 16e9),
    "A100": (312e12, 2039e9, 80e9),
    "H100": (989e12, 3350e9, 80e9),
    "TPU v5e": (197e12, 819e9, 16e9),
}
for name, value in intensity.items():
    reached = ", ".join(f"{chip} {min(1, value * bw / peak):4.0%}" for chip, (peak, bw, _) in chips.items())
    print(f"{name:>37}: {value:7.1f} FLOP/byte; at most {reached}")

figure, place = plt.subplots(figsize=(8, 3.2), layout="constrained")
place.barh(list(intensity), list(intensity.values()), color="C0")
for i, (chip, (peak, bandwidth, _)) in enumerate(chips.items()):
    place.axvline(peak / bandwidth, color=f"C{i + 1}", linestyle="--", label=f"ridge of {chip}")
place.set(xscale="log", xlabel="FLOP per byte")
place.invert_yaxis()
place.legend(loc="lower right", fontsize=8)
plt.show()

# %% [markdown]
# The bars that end left of a dashed line wait for memory on that chip. Products over whole clips are far to the right.
# The same MLP for *one* token reads all its weights to use each once: about 1 FLOP per byte, and a fraction of a
# percent of the peak. That is autoregressive decoding with one clip. MAGVIT's 12 passes do 12 × 1024 tokens' work
# instead of 1024, and are faster all the same. What stays left are the element-wise operations: compilers fuse them
# into their neighbours, which is much of what XLA and `torch.compile` are for.
#
# ## Memory
#
# Training keeps two things: the **state**, four copies of the weights (weights, gradients, two moments of Adam)
# whatever the batch, and the **activations** that the backward pass needs, for each clip of the batch. What fills up
# first?

# %%
networks = {}
for size, letter in (("base", "B"), ("large", "L")):
    shape = transformer_config(size, 101)
    tokens, heads, layers = math.prod(shape["latent_shape"]) + 2, shape["num_heads"], shape["num_layers"]
    cost = estimates.transformer_cost(shape)
    maps = 3 * layers * heads * tokens**2  # attention's N x N tables
    networks[f"transformer {letter}"] = (4 * cost.parameters, cost.kept - maps, maps)
    cost = estimates.tokenizer_cost(VIDEO_TOKENIZERS[f"3dvq_{size}_ucf101"]["config"], (16, 128, 128))
    networks[f"3D-VQ {letter}"] = (4 * cost.parameters, cost.kept, 0)

figure, place = plt.subplots(figsize=(8, 2.6), layout="constrained")
left = np.zeros(len(networks))
for i, part in enumerate(("state", "activations of one clip", "of them attention tables")):
    value = np.array([4 * network[i] / 1e9 for network in networks.values()])
    place.barh(list(networks), value, left=left, label=part)
    left += value
place.set_xlabel("GB in float32")
place.invert_yaxis()
place.legend()
plt.show()
for name, (state, kept, maps) in networks.items():
    fits = {chip: int((memory - 4 * state) / (4 * (kept + maps))) for chip, (_, _, memory) in chips.items()}
    print(f"{name:>13}: clips in a batch, float32, one chip:", {k: max(v, 0) for k, v in fits.items()})

# %% [markdown]
# Activations, not weights. The paper's batch of 256 clips needs many chips, or the tricks of the next sections. For the
# transformer a good part is attention's tables of $N \times N$, which a fused ("flash") attention never stores. For the
# tokenizer it is the full-resolution levels: 128×128 pixels × 16 frames × 64 channels are 67 MB in float32, and the
# encoder and decoder keep dozens of such arrays.
#
# ## Length and resolution, measured
#
# A token of the paper's models stands for 4×8×8 pixels, so twice the frames are twice the tokens, and twice the
# resolution four times. Theory: the tokenizer's time is linear in pixels; the transformer's is between linear and
# quadratic in tokens. A power law $t = a N^p$ is a line of slope $p$ on double logarithmic axes. What are the slopes
# here?


# %%
# On a CPU the seconds of this process alone: other programs on the machine do not count.
clock = time.process_time if mk.choose_backend().endswith("CPU") else time.perf_counter


def seconds(function, *arguments, repeats=3):
    """The fastest of a few calls, after one that compiles."""
    found = []
    for _ in range(repeats + 1):
        begin = clock()
        ops.convert_to_numpy(function(*arguments))  # waits for the result
        found.append(clock() - begin)
    return min(found[1:])


small = {"num_layers": 2, "hidden_size": 64, "num_heads": 2, "mlp_dim": 256, "dropout": 0.0}
shapes = (
    [(4, 8, 8), (4, 16, 16), (8, 16, 16)] if FAST else [(4, 8, 8), (8, 8, 8), (4, 16, 16), (8, 16, 16), (12, 16, 16)]
)
times = {}
for shape in shapes:
    model = mk.MaskedTransformer(codebook_size=64, num_classes=0, latent_shape=shape, **small)
    tokens = np.zeros((1, math.prod(shape) + 2), "int32")
    compiled = keras.Sequential([keras.Input((tokens.shape[1],), dtype="int32"), model])
    times[math.prod(shape)] = seconds(lambda x, m=compiled: m.predict_on_batch(x), tokens)
counts, measured = np.array(list(times)), np.array(list(times.values()))

vq = mk.VideoTokenizer(
    16, (1, 2), temporal_downsample=(True,), num_res_blocks=1, embedding_dim=8, codebook_size=64, norm_groups=1
)
clips = [(8, 32, 32), (16, 32, 32), (16, 64, 64)] if FAST else [(8, 32, 32), (16, 32, 32), (16, 64, 64), (32, 64, 64)]
pixels = np.array([math.prod(shape) for shape in clips])
encoding = np.array([seconds(vq.encode, np.zeros((1, *shape, 3), "float32")) for shape in clips])

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
for place, x, y, title in (
    (axes[0], counts, measured, "transformer, tokens N"),
    (axes[1], pixels, encoding, "tokenizer (encode), pixels"),
):
    slopes = np.diff(np.log(y)) / np.diff(np.log(x))
    p, a = np.polyfit(np.log(x), np.log(y), 1)
    place.plot(x, y, "o")
    place.plot(x, np.exp(a) * x**p, "-", label=f"exponent {p:.2f}")
    place.set(xscale="log", yscale="log", xlabel=title, ylabel="seconds")
    place.set_xticks(x, [f"{n:,}" for n in x], rotation=30)
    place.minorticks_off()
    place.legend()
    print(f"{title}: exponent {p:.2f} overall, {slopes[-1]:.2f} at the large end")
plt.show()
crossing = 6 * small["hidden_size"]
print(f"By the formula, attention is half of this transformer's work at N = {crossing}.")

# %% [markdown]
# The tokenizer's exponent is near 1. The transformer's lies between 1 and 2 and is larger at the large end, where
# attention dominates. So doubling the *resolution* of a clip costs the tokenizer 4 times and the transformer 4 to 16
# times. The way out is a tokenizer that compresses more, not a larger transformer; MAGVIT's 4×8×8 are a choice in this
# trade. For longer videos the paper generates window by window: `magvit.continue_video` and `magvit.outpaint` keep $N$
# fixed.
#
# ## Tokens, made once
#
# The second stage needs tokens of each clip and of its condition clip for the drawn task. They never change, since the
# tokenizer is frozen. What do you save if they are made once?

# %%
encode = 2 * tokenizer.macs / 3
step = 3 * 2 * transformer.macs
print(f"per clip and step: transformer {step / 1e9:.0f} GFLOP, two encodings {2 * encode / 1e9:.0f} GFLOP")
print(f"from tokens a step takes {step / (step + 2 * encode):.0%} of the operations")
print(f"and a clip takes {2 * N / 1e3:.0f} kB (16 bit a token) instead of {16 * 128 * 128 * 3 / 1e3:.0f} kB of pixels")

# %% [markdown]
# `magvit.tokenize(clips)` does it in memory, `magvit-keras tokenize` for a data set, in shards and by many processes;
# `fit` takes the result. The price: random windows and crops are those that you have tokenized. Take several passes
# (`token_passes` of `mk.train`).
#
# ## Half the bytes: mixed precision
#
# `mixed_bfloat16` keeps weights and optimizer in float32 and computes in bfloat16: activations take half the memory,
# and matrix units run several times faster. bfloat16 has the range of float32 with 8 bits of precision, so that
# gradients do not vanish; float16 needs its loss scaled, which Keras does. How much does it change what the network
# says?

# %%
shape = {"codebook_size": 256, "num_classes": 4, "latent_shape": (4, 8, 8), **small}
keras.utils.set_random_seed(0)
exact = mk.MaskedTransformer(**shape)
rough = mk.MaskedTransformer(**shape, dtype="mixed_bfloat16")
rough.set_weights(exact.get_weights())
tokens = np.random.default_rng(0).integers(0, 256, (4, 258)).astype("int32")
one, two = (ops.convert_to_numpy(ops.cast(m.codebook_logits(tokens), "float32")) for m in (exact, rough))
print(f"largest difference of a logit: {abs(one - two).max():.4f}; the logits' spread is {one.std():.4f}")
print(f"relative error: {np.sqrt(np.mean((one - two) ** 2)) / one.std():.1%}")
print("weights in", rough.trainable_variables[0].dtype, "- computed in", rough.compute_dtype)

# %% [markdown]
# A percent or so, in all logits alike: sampling noise is far larger. In a script, one line before any model is made
# does it: `keras.config.set_dtype_policy("mixed_bfloat16")`. TPUs and GPUs from the A100 on want bfloat16; a T4 has
# fast float16 only. (On PyTorch's CPU builds train in float32: convolution gradients in bfloat16 can be non-finite
# there.)
#
# ## A large batch on a small chip: accumulation
#
# The gradient of a batch is the mean of its parts' gradients. So add up over $k$ batches, step once, and it is as if
# the batch were $k$ times larger, at the memory of one part. Keras' optimizers do it with
# `gradient_accumulation_steps`. Check on a small network: 4 parts of 8 against one batch of 32, equal weights?


# %%
def trained(batch_size, **options):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16, "tanh"), keras.layers.Dense(1)])
    model.compile(KernelDecayAdamW(1e-2, weight_decay=0.045, **options), loss="mse")
    x = np.random.default_rng(0).normal(size=(64, 8)).astype("float32")
    model.fit(x, x[:, :1] ** 2, batch_size=batch_size, epochs=5, shuffle=False, verbose=0)
    return np.concatenate([np.ravel(w) for w in model.get_weights()])


whole, parts = trained(32), trained(8, gradient_accumulation_steps=4)
print(f"largest difference of a weight: {abs(whole - parts).max():.1e}, of weights up to {abs(whole).max():.2f}")

# %% [markdown]
# Equal up to rounding. For `mk.train` it is the setting `accumulate`. What accumulation does not give: statistics *of
# the batch*. The masked transformer has none; in the tokenizer the entropy loss and LeCam see only the small batch.
#
# ## Computing twice instead of keeping: rematerialisation
#
# Do not keep the activations inside a block, compute them again when the backward pass arrives there. The memory falls
# from all activations to the blocks' inputs and one block's inside; the price is one more forward pass, 4/3 of the
# operations of a step. `remat="blocks"` does it for the transformer, the tokenizer and the discriminator. The gradients
# are the same:

# %%
grads, taken = {}, {}
for remat in ("none", "blocks"):
    keras.utils.set_random_seed(0)
    model = mk.MaskedTransformer(**{**shape, "num_layers": 4}, remat=remat)
    weights = model.get_weights()
    inner = keras.Sequential([keras.Input((258,), dtype="int32"), model])
    inner.compile(keras.optimizers.SGD(1.0), loss=lambda _, y: ops.mean(ops.square(y - 1.0)))
    target = np.zeros((4, 1), "float32")
    inner.train_on_batch(tokens, target)
    grads[remat] = np.concatenate([np.ravel(a - b) for a, b in zip(weights, model.get_weights(), strict=True)])
    taken[remat] = seconds(inner.train_on_batch, tokens, target)
error = abs(grads["none"] - grads["blocks"]).max() / abs(grads["none"]).max()
print(f"relative difference of the gradients: {error:.1e}")
print(f"a step takes {taken['blocks'] / taken['none']:.2f} times as long (4/3 by the count)")

for name, (_, kept, maps) in networks.items():
    if "transformer" in name:
        size = transformer_config("base" if name.endswith("B") else "large", 101)
        inputs = size["num_layers"] * (math.prod(size["latent_shape"]) + 2) * size["hidden_size"]
        now = inputs + (kept + maps) / size["num_layers"]
        print(f"{name}: {4 * (kept + maps) / 1e9:.2f} GB a clip kept, {4 * now / 1e9:.2f} GB with remat='blocks'")

# %% [markdown]
# ## Several devices
#
# **Data parallel:** every device holds all weights and takes a part of each batch; the gradients are averaged. That
# sends $2 \frac{n-1}{n} \cdot 4P$ bytes a step through the links, however large the batch. **Model parallel:** the
# devices share the weights too, each holding some heads and a part of each MLP. Less memory for weights, but
# activations must travel in every layer, so only for models that do not fit otherwise.
#
# In the library one call before any model is made sets it up: `mk.distribution.start("data")`, or `"model"`, which
# needs JAX. On JAX it sets Keras' `DataParallel` or `ModelParallel`. A CPU can pretend to be four devices, which shows
# that a program is right, not that it is fast. XLA must be told at the start of a process, hence the script:

# %%
SCRIPT = """
import json, numpy as np, keras, magvit_keras as mk

found = {}
for kind in ("none", "data", "model"):
    devices = mk.distribution.start(kind)
    keras.utils.set_random_seed(0)
    tokenizer = mk.VideoTokenizer(8, (1, 2), (True,), 1, embedding_dim=4, codebook_size=32, norm_groups=1)
    transformer = mk.MaskedTransformer(
        32, num_classes=0, latent_shape=(2, 4, 4), num_layers=1, hidden_size=32, num_heads=4, mlp_dim=128, dropout=0.0
    )
    magvit = mk.Magvit(tokenizer, transformer, tasks=["frame_prediction"])
    magvit.compile(keras.optimizers.Adam(1e-3))
    tokens = np.random.default_rng(0).integers(0, 32, (32, 2, 4, 4))
    data = {"tokens": tokens, "condition_tokens": tokens[:, None]}
    history = magvit.fit(data, batch_size=8, epochs=2, shuffle=False, verbose=0)
    kernel = next(v for v in transformer.variables if v.path.endswith("mlp_in/kernel"))
    shards = kernel.value.addressable_shards
    found[kind] = {
        "share a batch": devices.batch_parts,
        "devices with this weight": len(shards),
        "its shape": list(kernel.shape),
        "on each": list(shards[0].data.shape),
        "losses": history.history["loss"],
    }
    mk.distribution.stop()
print(json.dumps(found))
"""
if importlib.util.find_spec("jax") is None:
    print("JAX is not installed: the simulated devices need it.")
else:
    path = os.path.join(tempfile.mkdtemp(), "devices.py")
    with open(path, "w") as file:
        file.write(SCRIPT)
    environment = {
        **os.environ,
        "KERAS_BACKEND": "jax",
        "JAX_PLATFORMS": "cpu",
        "JAX_CPU_ENABLE_ASYNC_DISPATCH": "0",  # steps in flight at once can block each other where cores are few
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    environment["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4 --xla_backend_optimization_level=0"
    ran = subprocess.run([sys.executable, path], env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-2000:]
    found = json.loads(ran.stdout.splitlines()[-1])
    for kind, about in found.items():
        print(f"{kind}:", *(f"\n    {name}: {value}" for name, value in about.items()))
    for kind in ("data", "model"):
        np.testing.assert_allclose(found[kind]["losses"], found["none"]["losses"], atol=1e-4)

# %% [markdown]
# The losses are those of one device, up to rounding. Under `data` each of the four devices has the whole weight. Under
# `model` pairs share it: each device holds half of its columns, and two pairs share the batch.
#
# Is the network between the devices fast enough? Compare the seconds of computing with those of sending, for the B
# transformer with 16 clips on each device:

# %%
links = {"A100": 300e9, "H100": 450e9, "TPU v5e": 200e9, "T4": 16e9}  # bytes/s a device: NVLink, ICI, PCIe
for chip, speed in links.items():
    computing = 16 * step / (0.3 * chips[chip][0])
    sending = 2 * 4 * transformer.parameters / speed
    print(f"{chip:>8}: computing {1e3 * computing:6.0f} ms, sending {1e3 * sending:4.1f} ms a step")

# %% [markdown]
# Where sending is a few percent, data parallel training is nearly as many times faster as there are devices, even
# without overlapping the two. It fails first for small batches per device.
#
# ## What changes on Colab
#
# | | TPU (v5e-1 or v2-8) | GPU (T4, L4, A100) |
# |---|---|---|
# | Backend | JAX; the setup cell chooses it | any of the three |
# | Precision | `mixed_bfloat16` | `mixed_float16` on a T4, `mixed_bfloat16` on newer ones |
# | Devices | `mk.distribution.start("data")` uses all cores | one |
# | Shapes | each new shape compiles for a minute or so: keep batch and clip size fixed | on PyTorch no matter |
# | Sizes | channels and widths in multiples of 128 fill the matrix unit | multiples of 8 |
# | Reading | few CPU cores: tokens in memory, no decoding on the way | the same |
#
# [Train on a Colab TPU](tasks/colab_tpu.ipynb) is the notebook for it. This lesson's own numbers were measured on whatever ran it,
# printed at the top.
#
# ## Exercises
#
# **1.** From which length does attention cost more than everything else in the L model ($d = 1024$)? How many frames of
# 128×128 are that?
#
# <details><summary>Solution</summary>
#
# $4 d L N^2 > 24 d^2 L N$ where $N > 6d = 6144$ tokens. A latent frame of 128×128 has 256 tokens and stands for 4
# frames, so from 96 frames on.
#
# </details>
#
# **2.** Autoregressive decoding of $N$ tokens with a cache, one clip. Estimate the time on an A100 by the roofline, and
# compare with 12 passes over all tokens.
#
# <details><summary>Solution</summary>
#
# ```python
# peak, bandwidth, _ = chips["A100"]
# one_by_one = N * 2 * transformer.parameters / bandwidth  # every token reads all weights, 2 bytes each
# at_once = 12 * 2 * transformer.macs / peak
# print(f"{1e3 * one_by_one:.0f} ms against {1e3 * at_once:.0f} ms")  # 88 ms against 8 ms
# ```
#
# Both are lower bounds. With many clips in a batch the weights are read once for all of them, and the gap closes.
#
# </details>
#
# **3.** You have one T4 and want the paper's batch of 256 for the B transformer. How many parts must the batch have in
# float32, and how many with half the activation bytes and `remat="blocks"`?
#
# <details><summary>Solution</summary>
#
# ```python
# state, kept, maps = networks["transformer B"]
# memory = chips["T4"][2] - 4 * state
# inputs = config["num_layers"] * (N + 2) * d
# for name, values, size in (
#     ("float32", kept + maps, 4),
#     ("bfloat16 and remat", inputs + (kept + maps) / config["num_layers"], 2),
# ):
#     fits = int(memory / (size * values))
#     print(f"{name}: {fits} clips at a time, {math.ceil(256 / fits)} parts")
# ```
#
# </details>
#
# **4.** Doubling the frame rate of 16-frame clips (32 frames for the same seconds): what does it cost, and what could
# the tokenizer do about it?
#
# <details><summary>Solution</summary>
#
# Twice the pixels: the tokenizer costs twice as much. Twice the tokens: the transformer costs 2 to 4 times. A tokenizer
# with one more halving in time (`temporal_downsample=(True, True, True)`) makes 8×8×8 pixels a token and keeps $N$;
# neighbouring frames are more alike at the higher rate, so it loses less than it seems.
#
# </details>
#
# ## Further reading
#
# - MAGVIT ([arXiv 2212.05199](https://arxiv.org/abs/2212.05199)): Table 8 (sizes), App. B.2 (training), Sec. 4.3 and Fig. 5 (speed).
# - Roofline: Williams, Waterman, Patterson (2009). Rematerialisation: [arXiv 1604.06174](https://arxiv.org/abs/1604.06174). Mixed precision:
#   [arXiv 1710.03740](https://arxiv.org/abs/1710.03740). FlashAttention: [arXiv 2205.14135](https://arxiv.org/abs/2205.14135). Tensor parallel transformers: [arXiv 1909.08053](https://arxiv.org/abs/1909.08053).
# - In the library: `magvit_keras/presets/estimates.py`, `distribution.py`, `docs/how_to/distributed.md`, `recipes.md`.
