# %% [markdown]
# # 0. MAGVIT in 300 lines
#
# The whole method on one page: every equation of the paper beside the code that computes it, in plain `keras.ops`,
# without a class and without a layer. Each piece is compared with the library's as soon as it is written, so what you
# read here is what runs there. It reads the weights of a small model that comes with the package; the last cells make
# clips with nothing but these functions.
#
# **You will learn**
#
# - what happens to a clip on its way to tokens and back (Sec. 3.1);
# - what a masked transformer is given, and what it is asked for (Sec. 3.2, Eq. 1-4);
# - how twelve passes of that transformer make a clip (Algorithm 1);
# - that none of it is long.
#
# It takes about 20 minutes. The other lessons explain why each piece is as it is.

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
import numpy as np
from keras import ops

magvit = mk.Magvit.from_preset("magvit_tiny_moving_shapes")  # only its weights are used, and to compare with
tokenizer, transformer = magvit.tokenizer, magvit.transformer
source = mk.data.MovingShapes(36, split="test", look="grid", num_frames=16, size=(64, 64))
chosen = (29, 11, 7, 0)  # a circle up and down, a star left and right, a ring that pulses, a star in orbit
clips = np.stack([source[i]["video"] for i in chosen]).astype("float32") / 255  # (B, T, H, W, 3) in [0, 1]
labels = [int(source[i]["label"]) for i in chosen]


def same(ours, theirs, tolerance=1e-4):
    """Asserts that two arrays agree, and says how well."""
    ours, theirs = (ops.convert_to_numpy(x).astype("float64") for x in (ours, theirs))
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
    error = np.abs(ours - theirs).max()
    assert error <= tolerance, error
    print(f"equal, {ours.shape}, largest difference {error:.0e}")


mk.show(clips)

# %% [markdown]
# ## The 3D-VQ (Sec. 3.1)
#
# The tokenizer is a convolutional autoencoder over time, height and width at once. It has four parts: a convolution, a
# normalization, a residual block of both, and resampling by two.
#
# A convolution looks one cell beyond its place. At the border the paper shows it the *reflected* clip in place of
# zeros, so that no code has to mean "near the edge". Index tables say which cell stands where.


# %%
def conv(x, kernel, bias=None):
    """Convolution that keeps the shape, with reflect padding: x (B, T, H, W, C), kernel (k, k, k, C, D)."""
    for axis, k in enumerate(kernel.shape[:-2], start=1):
        if k > 1:
            reflected = np.pad(np.arange(x.shape[axis]), (k - 1) // 2, mode="reflect")
            x = ops.take(x, reflected, axis=axis)
    x = ops.conv(x, kernel, padding="valid", data_format="channels_last")
    return x if bias is None else x + bias


def group_norm(x, norm):
    """Zero mean and unit variance for each clip and each group of channels, then scale and bias (C,)."""
    shape = x.shape
    x = ops.reshape(x, (shape[0], -1, norm.groups, shape[-1] // norm.groups))
    mean = ops.mean(x, axis=(1, 3), keepdims=True)
    variance = ops.mean(ops.square(x - mean), axis=(1, 3), keepdims=True)
    return ops.reshape((x - mean) / ops.sqrt(variance + 1e-6), shape) * norm.scale + norm.bias


def residual_block(x, block):
    """x + f(x), where f is twice: normalization, swish, convolution."""
    h = conv(ops.silu(group_norm(x, block.norm_1)), block.conv_1.kernel)
    h = conv(ops.silu(group_norm(h, block.norm_2)), block.conv_2.kernel)
    return h + (x if block.shortcut is None else conv(x, block.shortcut.kernel))


x = keras.random.normal((1, 4, 8, 8, tokenizer.encoder.blocks[0].norm_1.scale.shape[0]), seed=0)
same(residual_block(x, tokenizer.encoder.blocks[0]), tokenizer.encoder.blocks[0](x))

# %% [markdown]
# The **encoder** averages pairs of cells between its levels, always in space, and in time where `temporal_downsample`
# says so. The **decoder** goes the way back: each cell is repeated, and a convolution follows.


# %%
def axes_of(level):
    """The axes that are halved after a level."""
    return [1, 2, 3] if tokenizer.temporal_downsample[level] else [2, 3]


def encoder(x, net):
    """Pixels (B, T, H, W, 3) to latents (B, t, h, w, D)."""
    x = conv(x, net.conv_in.kernel)
    for level, blocks in enumerate(net.levels):
        for block in blocks:
            x = residual_block(x, block)
        if level < len(net.levels) - 1:
            for axis in axes_of(level):
                pairs = (*x.shape[:axis], x.shape[axis] // 2, 2, *x.shape[axis + 1 :])
                x = ops.mean(ops.reshape(x, pairs), axis=axis + 1)
    for block in net.bottleneck:
        x = residual_block(x, block)
    return conv(ops.silu(group_norm(x, net.norm_out)), net.conv_out.kernel, net.conv_out.bias)


def decoder(x, net):
    """Codes (B, t, h, w, D) to pixels (B, T, H, W, 3)."""
    x = conv(x, net.conv_in.kernel, net.conv_in.bias)
    for block in net.bottleneck:
        x = residual_block(x, block)
    for i, blocks in enumerate(net.levels):  # the deepest first
        for block in blocks:
            x = residual_block(x, block)
        if i < len(net.conv_up):
            for axis in axes_of(len(net.levels) - 2 - i):
                x = ops.repeat(x, 2, axis=axis)
            x = conv(x, net.conv_up[i].kernel, net.conv_up[i].bias)
    return conv(ops.silu(group_norm(x, net.norm_out)), net.conv_out.kernel, net.conv_out.bias)


latents = encoder(clips[:1], tokenizer.encoder)
same(latents, tokenizer.encoder(clips[:1]), tolerance=1e-3)

# %% [markdown]
# **Vector quantization** replaces each latent $z$ by the nearest of $K$ learned codes $e_k$; its number is the token:
#
# $$k(z) = \operatorname{argmin}_k \lVert z - e_k \rVert^2 .$$
#
# A clip of 16 x 64 x 64 pixels becomes a small grid of whole numbers, and these are all that the transformer sees.


# %%
def quantize(latents, codebook):
    """The nearest code of each latent: (B, t, h, w, D) -> (B, t, h, w) int32."""
    distances = (
        ops.sum(ops.square(latents), axis=-1, keepdims=True)
        - 2 * ops.matmul(latents, ops.transpose(codebook))
        + ops.sum(ops.square(codebook), axis=-1)
    )
    return ops.cast(ops.argmin(distances, axis=-1), "int32")


codebook = ops.convert_to_tensor(tokenizer.quantizer.codebook)


def encode(video):
    """Clips to tokens z."""
    return quantize(encoder(ops.convert_to_tensor(video), tokenizer.encoder), codebook)


def decode(ids):
    """Tokens to clips."""
    return ops.clip(decoder(ops.take(codebook, ids, axis=0), tokenizer.decoder), 0, 1)


tokens = encode(clips)
agree = float(np.mean(ops.convert_to_numpy(tokens) == ops.convert_to_numpy(tokenizer.encode(clips))))
print(f"tokens {tuple(tokens.shape)} of {len(codebook)} codes; {agree:.2%} are the library's")
assert agree > 0.999
rebuilt = ops.convert_to_numpy(decode(tokens))
mk.show(mk.visualize.side_by_side({"clip": clips, "from its tokens": rebuilt}))

# %% [markdown]
# ## The condition of a task (App. B.1)
#
# A task says which pixels are given. The rest is *padded*, so that there is a whole clip $\tilde V$ to encode: frame
# prediction repeats the last given frame, inpainting shows zeros in the hole. Its tokens $\tilde z$ are the condition.
# A mask `ispad` says which of them show padding only; for those the condition knows nothing.
#
# The ten tasks differ in this alone. Here are two of them.


# %%
def given_frames(video, count, t):
    """Frame prediction: `count` frames are given, of t latent frames the first few show something."""
    frame = np.minimum(np.arange(video.shape[1]), count - 1)
    known = np.arange(t) < -(-count * t // video.shape[1])  # rounded up: a latent frame that holds any given one
    return np.take(video, frame, axis=1), ~known[:, None, None] & np.ones((t, h, w), bool)


def hole_in_the_middle(shape):
    """True in the middle half of height and width, on a grid (T, H, W) of pixels or of latents."""
    inside = [(np.arange(n) >= n // 4) & (np.arange(n) < n // 4 + n // 2) for n in shape[1:]]
    return np.broadcast_to(inside[0][:, None] & inside[1], shape)


t, h, w = transformer.latent_shape
count = magvit.tasks["frame_prediction"].num_condition_frames
predicted_from, predicted_pad = given_frames(clips, count, t)
inpainted_from = clips * ~hole_in_the_middle(clips.shape[1:4])[..., None]
inpainted_pad = hole_in_the_middle((t, h, w))

from magvit_keras.commit.conditions import condition

for name, ours, ispad in (
    ("frame_prediction", predicted_from, predicted_pad),
    ("central_inpainting", inpainted_from, inpainted_pad),
):
    theirs = condition(clips, magvit.tasks[name], (t, h, w))
    same(ours, theirs.video)
    same(ispad, theirs.ispad)
mk.show(mk.visualize.side_by_side({"frame prediction sees": predicted_from, "inpainting sees": inpainted_from}))

# %% [markdown]
# ## The multivariate mask (Eq. 2)
#
# MaskGIT replaces a random part of the tokens by `[MASK]`. COMMIT has a third choice: where the condition says
# something, the masked token is replaced by the *condition's* token instead,
#
# $$m(z_i \mid \tilde z_i) = \begin{cases} \tilde z_i & s_i \le s^* \text{ and not ispad}(\tilde z_i) \\
# [\text{MASK}] & s_i \le s^* \text{ and ispad}(\tilde z_i) \\ z_i & \text{otherwise,}\end{cases}$$
#
# with scores $s_i$ drawn at random, and $s^*$ the one at the share $\gamma$ that is to be masked; $\gamma$ is the cosine
# of a random number. So the network learns to *refine* tokens that it is given, next to filling gaps and keeping what is
# right.


# %%
def multivariate_mask(z, z_given, ispad, ratio, score, mask_id):
    """Eq. 2. All (B, N); ratio is the share that is masked. Returns z-bar, and which part of the loss a token has."""
    count = np.maximum(np.floor(np.float32(ratio) * z.shape[1]), 1).astype(int)
    cutoff = np.sort(score, axis=1)[:, count - 1 : count]  # s*
    masked = score <= cutoff
    z_bar = np.where(masked, np.where(ispad, mask_id, z_given), z)
    return z_bar, np.where(masked, np.where(ispad, "mask", "refine"), "reconstruct")


flat = [ops.convert_to_numpy(encode(v)).reshape(len(clips), -1) for v in (clips, predicted_from)]  # z, z~: (B, N)
ispad = np.broadcast_to(predicted_pad.reshape(1, -1), flat[0].shape)
mask_id = transformer.vocabulary_size - 1  # the last row of the vocabulary
ratio, score = np.cos(np.pi / 2 * 0.4), np.random.default_rng(0).random(flat[0].shape).astype("float32")
z_bar, part = multivariate_mask(*flat, ispad, ratio, score, mask_id)

from magvit_keras.commit import masking

theirs = masking.multivariate_mask(*flat, ispad, ratio, score, mask_id=mask_id)
same(z_bar, theirs.ids)
print({name: f"{np.mean(part == name):.0%}" for name in ("refine", "mask", "reconstruct")})
print(f"condition tokens that are the clip's own: {np.mean((flat[0] == flat[1])[~ispad]):.0%}")

# %% [markdown]
# ## The masked transformer (App. A.2)
#
# A BERT: token and position embeddings, layers of attention and MLP, and logits by the transposed token table. It reads
# `[task prompt, class, tokens]`, and sees everything at once.
#
# $$\operatorname{attention}(Q, K, V) = \operatorname{softmax}\bigl(Q K^\top / \sqrt{d}\bigr) V$$


# %%
def layer_norm(x, norm):
    """Zero mean and unit variance along the width, then scale and bias."""
    mean = ops.mean(x, axis=-1, keepdims=True)
    variance = ops.mean(ops.square(x - mean), axis=-1, keepdims=True)
    return (x - mean) / ops.sqrt(variance + 1e-12) * norm.gamma + norm.beta


def attention(x, layer):
    """Every token looks at all tokens: (B, N, D) -> (B, N, D), in several heads."""
    q, k, v = (
        ops.einsum("bnd,dhk->bhnk", x, p.kernel) + p.bias[:, None] for p in (layer.query, layer.key, layer.value)
    )
    weights = ops.softmax(ops.matmul(q, ops.swapaxes(k, -1, -2)) * q.shape[-1] ** -0.5, axis=-1)  # (B, heads, N, N)
    return ops.einsum("bhnk,hkd->bnd", ops.matmul(weights, v), layer.out.kernel) + layer.out.bias


def mlp(x, inner, outer):
    """Two dense layers with a GELU between them."""
    return ops.matmul(ops.gelu(ops.matmul(x, inner.kernel) + inner.bias, approximate=True), outer.kernel) + outer.bias


def logits_of(sequence):
    """Logits over the codes for each latent: (B, 2 + N) -> (B, N, K)."""
    table, head = ops.convert_to_tensor(transformer.embedding.tokens), transformer.output_head
    x = ops.take(table, sequence, axis=0) + transformer.embedding.positions
    x = layer_norm(x, transformer.embedding.norm)
    for block in transformer.blocks:
        x = layer_norm(x + attention(x, block.attention), block.attention_norm)
        x = layer_norm(x + mlp(x, block.mlp_in, block.mlp_out), block.mlp_norm)
    x = ops.gelu(ops.matmul(x, head.dense.kernel) + head.dense.bias, approximate=True)
    scores = ops.matmul(layer_norm(x, head.norm), ops.transpose(table)) + head.bias
    return scores[:, 2:, : transformer.codebook_size]  # neither the prefix nor classes and prompts are predicted


def prefix(task, classes):
    """[task prompt, class] of each clip, (B, 2): rows of the vocabulary after those of the codes."""
    return np.stack([np.full(len(classes), magvit.vocabulary.prompt_id(task)), transformer.codebook_size + classes], 1)


no_class = np.full(len(clips), transformer.num_classes)  # the row after the last class
sequence = np.concatenate([prefix("frame_prediction", no_class), z_bar], axis=1).astype("int32")
logits = logits_of(sequence)
same(logits, transformer.codebook_logits(sequence), tolerance=2e-3)

# %% [markdown]
# ## The loss (Eq. 3 and 4)
#
# The network is asked for the clip's own token at *every* place, whatever stands there:
#
# $$\mathcal{L} = -\sum_i \log p(z_i \mid \bar z) = \mathcal{L}_\text{refine} + \mathcal{L}_\text{mask} +
# \mathcal{L}_\text{recons}.$$
#
# Three losses in one cross-entropy: what it means depends on what was shown. (Labels are smoothed by $10^{-4}$.)


# %%
def loss_of(logits, z, smoothing=1e-4):
    """Cross-entropy of each token, (B, N)."""
    log_p = ops.log_softmax(logits, axis=-1)
    target = (1 - smoothing) * ops.one_hot(z, logits.shape[-1]) + smoothing / logits.shape[-1]
    return -ops.sum(target * log_p, axis=-1)


from magvit_keras.commit import losses

parts = np.select([part == "refine", part == "mask"], [masking.REFINE, masking.MASK], masking.RECONSTRUCT)
theirs = losses.commit_loss(logits, flat[0], parts, np.ones(parts.shape))
per_token = ops.convert_to_numpy(loss_of(logits, flat[0]))
same(per_token.mean(), theirs.loss)
print({name: round(float(per_token[part == name].mean()), 2) for name in ("refine", "mask", "reconstruct")})

# %% [markdown]
# Training is this loss on random tasks, masks and clips: `magvit.fit` does it, and lesson 6 watches it.
#
# ## Decoding (Algorithm 1)
#
# To make a clip, begin with every token unknown: the condition's token where it says something, `[MASK]` elsewhere.
# Then, $K = 12$ times:
#
# 1. predict all unknown tokens at once, and draw one for each place;
# 2. be sure of some: the score of a drawn token is its log-probability, plus noise that fades;
# 3. keep the best, and forget the $\lfloor \gamma((t + 1) / K) N \rfloor$ worst again, where $\gamma$ is a cosine.
#
# What was forgotten shows the condition or `[MASK]` again, so the condition's tokens are refined along with the rest.


# %%
def generate(z_given, ispad, task, classes, steps=12, temperature=4.5, seed=0):
    """Algorithm 1: condition tokens and ispad (B, N) -> tokens (B, N). Noise as `gumbels` draws it."""
    start, n = prefix(task, classes), z_given.shape[1]
    z, unknown = np.zeros_like(z_given), np.ones(z_given.shape, bool)
    for step in range(steps):
        z_bar = np.where(unknown, np.where(ispad, mask_id, z_given), z)
        sequence = np.concatenate([start, z_bar], axis=1).astype("int32")
        log_p = ops.convert_to_numpy(ops.log_softmax(logits_of(sequence), axis=-1))  # (B, N, K)
        drawn = np.argmax(log_p + gumbels(seed, 2 * step, log_p.shape), axis=-1)  # a draw, by the Gumbel trick
        z = np.where(unknown, drawn, z)
        score = np.take_along_axis(log_p, z[..., None], axis=-1)[..., 0]
        score = score + temperature * (1 - (step + 1) / steps) * gumbels(seed, 2 * step + 1, score.shape)
        score = np.where(unknown, score, np.inf)  # what is known stays known
        to_forget = int(np.float32(np.cos(np.pi / 2 * (step + 1) / steps)) * n)
        to_forget = np.clip(to_forget, 1, unknown.sum(axis=1) - 1)  # one more is known after each step
        cutoff = np.take_along_axis(np.sort(score, axis=1), to_forget[:, None] - 1, axis=1)
        unknown = score <= cutoff
    return z


def gumbels(seed, stream, shape):
    """Gumbel noise, the same for the same seed and stream."""
    return np.random.default_rng([seed, stream]).gumbel(size=shape).astype("float32")


fewer = 4 if FAST else 12
classes = np.array(labels)
nothing, everywhere = np.zeros((len(clips), t * h * w), "int32"), np.ones((len(clips), t * h * w), bool)
made = generate(nothing, everywhere, "class_conditional_generation", classes, steps=fewer)
mk.show(ops.convert_to_numpy(decode(made.reshape(-1, t, h, w))))

# %% [markdown]
# The library's decoder takes the noise from outside, too. Given the same, it makes the same tokens.

# %%
from magvit_keras.decoding.commit_decoding import decode as library_decode

start = prefix("class_conditional_generation", classes).astype("int32")
streams = [np.stack([gumbels(0, 2 * k + i, s) for k in range(fewer)]) for i, s in enumerate([logits.shape, made.shape])]
theirs = library_decode(
    lambda ids: transformer.codebook_logits(ops.concatenate([start, ids], axis=1)),
    nothing,
    everywhere,
    mask_id=mask_id,
    num_steps=fewer,
    token_noise=lambda step, _: ops.take(streams[0], step, axis=0),
    noise=lambda step, _: ops.take(streams[1], step, axis=0),
)
agree = float(np.mean(made == ops.convert_to_numpy(theirs)))
print(f"{agree:.1%} of the tokens are those of the library's Algorithm 1")
assert agree > 0.98  # a token changes where two logits differ by less than rounding does

# %% [markdown]
# ## The same model, other tasks
#
# Another prompt, another condition, and the loop does another task: it continues clips from their first frames, and it
# fills a hole.


# %%
def complete(task, shown, pad):
    """Clips (B, T, H, W, 3) for a task without a class, from its padded condition."""
    z_given = ops.convert_to_numpy(encode(shown)).reshape(len(shown), -1)
    pad = np.broadcast_to(pad.reshape(1, -1), z_given.shape)
    ids = generate(z_given, pad, task, no_class, steps=fewer)
    return ops.convert_to_numpy(decode(ids.reshape(-1, t, h, w)))


continued = complete("frame_prediction", predicted_from, predicted_pad)
mk.show(mk.visualize.side_by_side({"given": predicted_from, "made": continued, "true": clips}))

# %%
filled = complete("central_inpainting", inpainted_from, inpainted_pad)
mk.show(mk.visualize.side_by_side({"given": inpainted_from, "made": filled, "true": clips}))

# %% [markdown]
# That is MAGVIT. What this page leaves out: how the tokenizer is trained (lessons 2 to 4), why condition tokens are not
# the clip's tokens (lesson 6), what the steps of Algorithm 1 do (lesson 7), and everything that makes it fast.
#
# ## Exercises
#
# **1.** Algorithm 1 with one step is plain sampling of independent tokens. Make clips with `steps=1` and with
# `steps=2`, and see how pieces that were drawn at once contradict one another.
#
# <details><summary>Solution</summary>
#
# ```python
# for steps in (1, 2, fewer):
#     ids = generate(nothing, everywhere, "class_conditional_generation", classes, steps=steps)
#     mk.show(ops.convert_to_numpy(decode(ids.reshape(-1, t, h, w))))
# ```
#
# With one step no token knows of another: colours and outlines do not fit. Two steps are much better already, since
# the second half of the tokens sees the first.
#
# </details>
#
# **2.** Turn COMMIT into MaskGIT: keep the condition's tokens as they are, and never predict them. Two lines change in
# `generate`.
#
# <details><summary>Solution</summary>
#
# ```python
# z_given = ops.convert_to_numpy(encode(predicted_from)).reshape(len(clips), -1)
# pad = np.broadcast_to(predicted_pad.reshape(1, -1), z_given.shape)
# print(f"{np.mean(z_given[~pad] == flat[0][~pad]):.0%} of the condition's tokens are right")
# # In `generate`: z = np.where(ispad, 0, z_given); unknown = ispad.copy()
# ```
#
# Whatever is wrong in the condition's tokens stays wrong: they were encoded from a clip that stands still.
#
# </details>
#
# **3.** What does the noise on the score do? Compare `temperature=0` with the default.
#
# <details><summary>Solution</summary>
#
# ```python
# ids = generate(nothing, everywhere, "class_conditional_generation", classes, temperature=0, steps=fewer)
# mk.show(ops.convert_to_numpy(decode(ids.reshape(-1, t, h, w))))
# ```
#
# Without noise the surest tokens are kept first, and those are background: the shape has to fit what is left.
#
# </details>
#
# ## Further reading
#
# - Yu et al., [MAGVIT: Masked Generative Video Transformer](https://arxiv.org/abs/2212.05199), CVPR 2023.
# - Chang et al., [MaskGIT: Masked Generative Image Transformer](https://arxiv.org/abs/2202.04200), CVPR 2022.
# - The next lesson: [Clips and the built-in data](01_clips.ipynb).
