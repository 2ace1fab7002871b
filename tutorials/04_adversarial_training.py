# %% [markdown]
# # 4. Adversarial training
#
# A tokenizer that is trained on the squared error alone gives soft pictures, however long you train it. The paper
# therefore trains it against a discriminator (Sec. 3.1). This lesson takes that training apart.
#
# **You will learn**
#
# - why the squared error asks for blur, and by exactly how much it prefers it;
# - the loss of a GAN in its non-saturating and its hinge form, and what each gradient does when one side is winning;
# - why the game does not settle by itself, how R1 makes it settle, and what R1 does to the slope of a discriminator;
# - what LeCam does when data are few, with a prediction that you check;
# - why the averaged weights (EMA) are the ones to use;
# - how `VQGAN` puts all of it under a plain `model.fit`.
#
# About 25 minutes. It covers the adversarial part of Sec. 3.1 of the paper and appendix A.

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

from magvit_keras import backend
from magvit_keras.tokenizer import losses

keras.utils.set_random_seed(0)

# %% [markdown]
# ## Why the squared error blurs
#
# A token has to stand for many patches: all those that the encoder sends to the same code. Say that, given the tokens,
# the picture $x$ is one of several that are equally likely. The decoder must answer with one picture $\hat x$, and
#
# $$\mathbb{E}\,\lVert x-\hat x\rVert^2 \;=\; \underbrace{\mathbb{E}\,\lVert x-\bar x\rVert^2}_{\text{variance}}
# \;+\; \lVert \hat x-\bar x\rVert^2, \qquad \bar x = \mathbb{E}[x].$$
#
# The best answer is the mean $\bar x$, which is none of the possible pictures. What does it cost to answer with one of
# them, $\hat x = x'$, drawn at random? $\mathbb{E}\lVert x-x'\rVert^2 = 2\,\mathbb{E}\lVert x-\bar x\rVert^2$: a sharp
# and possible picture costs **twice** as much as the blur. The squared error does not merely tolerate blur; among all
# answers it likes it best.
#
# Take a frame of Moving Shapes, and suppose that the tokens say everything except where the scene lies by up to four
# pixels. What is the best answer, and what do the two answers cost?


# %%
def sharpness(images):
    """Root of the mean squared difference of neighbouring pixels: edges count, flat areas and faint noise hardly."""
    images = np.asarray(images, "float32")
    across, down = np.diff(images, axis=-2), np.diff(images, axis=-3)
    return float(np.sqrt(np.mean(across**2) + np.mean(down**2)))


look = {"look": "plain"}  # what the shipped tokenizers were trained on
frames = mk.data.MovingShapes(96, 1, 64, **look).arrays()["video"][:, 0] / np.float32(255)
possible = np.stack([np.roll(frames[3], shift, axis=1) for shift in range(-4, 5)])[:, 8:56, 8:56]
mean = possible.mean(axis=0)

variance = np.mean((possible - mean) ** 2)
sharp_guess = np.mean((possible[:, None] - possible[None]) ** 2)  # all pairs: a truth and a guess
print(f"error of the mean {variance:.5f}, of a sharp guess {sharp_guess:.5f}: {sharp_guess / variance:.3f} times")
print(f"sharpness: possible pictures {sharpness(possible):.4f}, their mean {sharpness(mean):.4f}")
mk.show(
    [possible[0], possible[4], possible[8], mean], labels=["possible", "possible", "possible", "best answer"], fps=0
)

# %% [markdown]
# The last picture is the optimum, not a failure of the optimizer: more steps and more parameters only bring a decoder
# closer to it. What is needed is a loss to which $\bar x$ looks wrong *because it is not one of the possible pictures*.
# No fixed distance between two pictures can say that; a critic who knows what pictures look like can.

# %% [markdown]
# ## A game instead of a distance
#
# The discriminator $D$ gives each picture a logit: positive for "real", negative for "made". With
# $\operatorname{softplus}(l)=\log(1+e^l)$ the **non-saturating** losses are
#
# $$L_D = \mathbb{E}\operatorname{softplus}(-D(x)) + \mathbb{E}\operatorname{softplus}(D(\hat x)), \qquad
# L_G = \mathbb{E}\operatorname{softplus}(-D(\hat x)).$$
#
# $L_D$ is the cross-entropy of a classifier, so that the best $D$ is the log-ratio of densities
# $D^*(x)=\log p_\text{real}(x)-\log p_\text{made}(x)$. A blurred picture has next to no density among real ones, and
# $D^*$ says so, whatever its squared error.
#
# The original game lets the tokenizer *maximise* $L_D$: it minimises $-\operatorname{softplus}(D(\hat x))$. The
# **hinge** form uses $L_D=\mathbb{E}\max(0,1-D(x))+\mathbb{E}\max(0,1+D(\hat x))$ and $L_G=-\mathbb{E}D(\hat x)$.
# All of them agree on who wins and differ in the gradient. At the start the discriminator is nearly always ahead, with
# $D(\hat x)\ll 0$: which loss still teaches the tokenizer something there? And when does the discriminator stop
# pushing on a real picture?

# %%
logit = np.linspace(-5, 5, 201)
sigmoid = 1 / (1 + np.exp(-logit))
pull = {"non-saturating": sigmoid - 1, "original (saturating)": -sigmoid, "hinge": -np.ones_like(logit)}
push = {"non-saturating": sigmoid - 1, "hinge": -(logit < 1).astype(float)}

_, axes = plt.subplots(1, 2, figsize=(9, 3.2), sharey=True, layout="constrained")
for axis, curves, title in zip(
    axes,
    (pull, push),
    ("tokenizer: dL/dD on its own picture", "discriminator: dL/dD on a real picture"),
    strict=True,
):
    for name, slope in curves.items():
        axis.plot(logit, slope, "--" if "original" in name else "-", label=name)
    axis.set(title=title, xlabel="logit D")
    axis.legend()
plt.show()

# %% [markdown]
# On the left: where $D\ll 0$ the original loss has no gradient left. The tokenizer is told that it is bad, not how to
# get better. The non-saturating loss pulls hardest exactly there and lets go once $D$ is fooled; the hinge pulls with
# the same force always. On the right: the hinge stops caring about a real picture at a logit of 1, while the
# cross-entropy pushes on for ever, ever more gently. The paper uses the non-saturating form; `VQGAN(gan_loss="hinge")`
# has the other.
#
# These curves are the derivatives of the library's losses. A finite difference confirms one point of each:

# %%
h, at = 1e-2, -3.0
for name, (_, generator_loss) in losses.GAN_LOSSES.items():
    slope = (float(generator_loss(at + h)) - float(generator_loss(at - h))) / (2 * h)
    expected = {"non_saturating": 1 / (1 + np.exp(-at)) - 1, "hinge": -1.0}[name]
    print(f"{name:15s} slope at D = {at:g}: {slope:.3f}, formula {expected:.3f}")

# %% [markdown]
# ## The smallest GAN, and why it needs R1
#
# Alternating gradient steps are no descent on any one function, so that nothing promises that they settle. The
# smallest example (Mescheder et al.) shows all of it. Reality is the single point $0$ on a line; the generator makes
# the point $\theta$; the discriminator is $D(x)=\psi x$. The game is over at $\theta=\psi=0$. The gradients are
#
# $$\frac{\partial L_D}{\partial\psi}=\theta\,\sigma(\psi\theta), \qquad
# \frac{\partial L_G}{\partial\theta}=-\psi\,\sigma(-\psi\theta).$$
#
# Near the solution $\sigma\approx\tfrac12$, and gradient descent becomes the linear system
#
# $$\frac{d}{dt}\begin{pmatrix}\theta\\\psi\end{pmatrix}=
# \begin{pmatrix}0&\tfrac12\\-\tfrac12&0\end{pmatrix}\begin{pmatrix}\theta\\\psi\end{pmatrix}, \qquad
# \lambda=\pm\tfrac{i}{2}.$$
#
# Imaginary eigenvalues: the two chase each other in circles. With a finite step $\eta$ each step multiplies the
# distance to the solution by $|1+\eta\lambda|=\sqrt{1+\eta^2/4}>1$, so that the circles grow.
#
# What is wrong is the discriminator: at $\theta=0$, where it should have no opinion any more, it keeps its slope
# $\psi\neq0$ and throws the generator out again. **R1** taxes exactly that slope, on real pictures:
#
# $$R_1=\mathbb{E}_{x\sim\text{real}}\,\lVert\nabla_x D(x)\rVert^2 .$$
#
# Here $R_1=\psi^2$. With the weight $w$ the gradient $2w\psi$ joins $\partial L_D/\partial\psi$, the lower right entry
# of the matrix becomes $-2w$, and
#
# $$\lambda = -w\pm\sqrt{w^2-\tfrac14}.$$
#
# For any $w>0$ the real part is negative: the game settles. Is more always better?


# %%
def play(r1_weight, steps=400, step_size=0.2, noise=0.0, start=(1.0, 0.0)):
    """Simultaneous gradient steps of the Dirac-GAN; returns (steps + 1, 2) of (theta, psi)."""
    rng, path = np.random.default_rng(0), [np.array(start)]
    for _ in range(steps):
        theta, psi = path[-1]
        gradient_psi = theta / (1 + np.exp(-psi * theta)) + 2 * r1_weight * psi
        gradient_theta = -psi / (1 + np.exp(psi * theta))
        gradient = np.array([gradient_theta, gradient_psi]) + noise * rng.normal(size=2)
        path.append(path[-1] - step_size * gradient)
    return np.array(path)


paths = {w: play(w) for w in (0.0, 0.05, 0.5, 2.0)}
_, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
for w, path in paths.items():
    left.plot(*path.T, lw=1.2, label=f"w = {w:g}")
    right.semilogy(np.hypot(*path.T), label=f"w = {w:g}")
left.plot(0, 0, "k+", ms=12)
left.set(title="the two players", xlabel="theta (generator)", ylabel="psi (slope of D)", aspect="equal")
right.set(title="distance to the solution", xlabel="step", ylim=(1e-6, 5))
right.legend(loc="lower right")
plt.show()

# %% [markdown]
# Without R1 the players never arrive. Near the solution each turn leads outward, further out the flat ends of the
# sigmoid hold them back, and they run on a cycle between the two. A little R1 makes a spiral that closes; $w=\tfrac12$,
# where the root vanishes, closes fastest; and $w=2$ is slow again: the slope is kept so small that the generator hardly
# moves. R1 buys stability with speed, and its weight is a compromise. The paper's is 10, on the squared norm without a
# factor $\tfrac12$ (the $\gamma$ of StyleGAN's code would be 20).

# %% [markdown]
# ## R1 on a real discriminator
#
# For a network, $\nabla_x D$ comes from back-propagation down to the pixels, and training by $R_1$ needs the gradient
# of that gradient, $\nabla_\phi\lVert\nabla_xD\rVert^2 = 2\,(\nabla_\phi\nabla_xD)^\top\nabla_xD$. All layers of the
# discriminator therefore need second derivatives, which is why it halves by average pooling and not by max pooling.
# `losses.r1_penalty` does it on all three backends. For a linear critic $D(x)=a\cdot x$ you know the answer:
# $\lVert a\rVert^2$.

# %%
a = ops.convert_to_tensor(np.random.default_rng(0).normal(size=(32, 32, 3)).astype("float32"))
penalty, _ = losses.r1_penalty(lambda x: ops.sum(a * x, axis=(1, 2, 3)), frames[:4, :32, :32])
print(f"r1_penalty {float(penalty):.2f}, |a|^2 = {float(ops.sum(a**2)):.2f}")

# %% [markdown]
# What does R1 do to a discriminator that can bend? In the plane you can see it. Let the real points lie on a ring, and
# the made ones around its middle: that is where the squared error sends them, the mean of all that is possible. The
# discriminator is a small network on two inputs. `SteppedModel` is a `keras.Model` whose loss is written once for all
# backends: `losses_and_logs` returns the loss and what to log. The two weights are variables, so that one compiled step
# serves all the experiments.


# %%
class Critic(backend.SteppedModel):
    log_names = ("loss", "accuracy", "real_logit", "made_logit", "slope")

    def __init__(self, discriminator):
        super().__init__()
        self.discriminator = discriminator
        scalar = {"shape": (), "initializer": "zeros", "trainable": False}
        self.r1_weight = self.add_weight(name="r1_weight", **scalar)
        self.lecam_weight = self.add_weight(name="lecam_weight", **scalar)
        self.average_real = self.add_weight(name="average_real", **scalar)
        self.average_made = self.add_weight(name="average_made", **scalar)
        self.built = True

    def losses_and_logs(self, data, training):
        penalty, real = losses.r1_penalty(self.discriminator, data["real"])
        made = self.discriminator(data["made"])
        real_mean, made_mean = ops.mean(real), ops.mean(made)
        lecam = losses.lecam_loss(real_mean, made_mean, self.average_real, self.average_made)
        if training:
            self.average_real.assign(losses.moving_average(self.average_real, real_mean, 0.9))
            self.average_made.assign(losses.moving_average(self.average_made, made_mean, 0.9))
        loss = losses.non_saturating_discriminator_loss(real, made)
        loss = loss + self.r1_weight * penalty + self.lecam_weight * lecam
        right = ops.concatenate([real > 0, made < 0], axis=0)
        values = (loss, ops.mean(ops.cast(right, "float32")), real_mean, made_mean, ops.sqrt(penalty))
        return loss, dict(zip(self.log_names, values, strict=True))


# %%
def points(count, spread, seed):
    """Real points on a ring of radius 1, made ones around its middle."""
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, 2 * np.pi, count)
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    real, made = ring + spread * rng.normal(size=(count, 2)), 2 * spread * rng.normal(size=(count, 2))
    return {"real": real.astype("float32"), "made": made.astype("float32")}


layers = [keras.layers.Dense(64, activation="leaky_relu") for _ in range(2)] + [keras.layers.Dense(1)]
critic = Critic(keras.Sequential([keras.Input((2,)), *layers]))
critic.compile(keras.optimizers.Adam(3e-3, beta_1=0.0, beta_2=0.99))
critic.optimizer.build(critic.trainable_variables)
fresh = [(v, ops.convert_to_numpy(v)) for v in (*critic.variables, *critic.optimizer.variables)]


def train_critic(data, held_out, epochs, r1_weight=0.0, lecam_weight=0.0):
    """Trains from the same fresh weights, twenty steps an epoch on all data; returns the history."""
    for variable, value in fresh:
        variable.assign(value)
    critic.r1_weight.assign(r1_weight)
    critic.lecam_weight.assign(lecam_weight)
    repeated = {name: np.tile(values, (20, 1)) for name, values in data.items()}
    options = {"batch_size": len(data["real"]), "validation_batch_size": 256, "epochs": epochs, "verbose": 0}
    return critic.fit(repeated, validation_data=held_out, shuffle=False, **options).history


# %% [markdown]
# The pictures show $D$: red says real, blue says made, the line is where it cannot tell. How steep is the way from a
# made point to the ring?

# %%
ring, other = points(128, spread=0.15, seed=0), points(128, spread=0.15, seed=1)
axis_values = np.linspace(-1.8, 1.8, 61, dtype="float32")
plane = np.stack(np.meshgrid(axis_values, axis_values), axis=-1)  # (61, 61, 2)
histories, landscapes = {}, {}
for weight in (0.0, 0.01, 0.1):
    histories[weight] = train_critic(ring, other, epochs=2 if FAST else 15, r1_weight=weight)
    landscapes[weight] = ops.convert_to_numpy(critic.discriminator(plane.reshape(-1, 2))).reshape(61, 61)
    last = {name: values[-1] for name, values in histories[weight].items()}
    print(f"R1 weight {weight:4g}: slope {last['val_slope']:6.2f}, accuracy on other points {last['val_accuracy']:.2f}")

_, axes = plt.subplots(1, 4, figsize=(12, 3), layout="constrained")
for axis, (weight, landscape) in zip(axes, landscapes.items(), strict=False):
    picture = axis.pcolormesh(axis_values, axis_values, landscape, vmin=-5, vmax=5, cmap="coolwarm")
    axis.contour(axis_values, axis_values, landscape, levels=[0], colors="k", linewidths=0.8)
    for name, marker in (("real", "k."), ("made", "kx")):
        axis.plot(*ring[name][:60].T, marker, ms=3)
    axis.set(title=f"D, R1 weight {weight:g}", aspect="equal", xticks=[], yticks=[])
    axes[3].plot(axis_values[30:], landscape[30, 30:], label=f"R1 weight {weight:g}")
plt.colorbar(picture, ax=axes[2])
axes[3].set(title="D along a radius", xlabel="distance from the middle", ylim=(-8, 8))
axes[3].legend(fontsize=8)
plt.show()

# %% [markdown]
# Without the penalty $D$ becomes a cliff, and training makes it steeper for ever: $L_D$ always falls a little when the
# logits grow. A generator below the cliff gets a huge gradient at one place and none at another. With the penalty the
# slope is small on the ring, $D$ rises gently from the middle, and the accuracy hardly suffers: R1 takes away the size
# of the opinion and leaves its direction.

# %% [markdown]
# ## LeCam: when data are few
#
# With few videos the discriminator learns them by heart. Its logits on the training set drift apart, and its verdict
# on other pictures gets worse. **LeCam** ties the logits to each other's past. With $\alpha_R$, $\alpha_F$ the moving
# averages of the mean logits of real and made pictures,
#
# $$R_\text{LC}=\mathbb{E}\,\lVert D(x)-\alpha_F\rVert^2+\mathbb{E}\,\lVert D(\hat x)-\alpha_R\rVert^2 .$$
#
# It looks odd at first: real logits are drawn towards the average of the *made* ones. It is a spring between the two
# groups. How far apart does it leave them? Put $D(x)=g$ and $D(\hat x)=-g$, averages included. Then each part of $L_D$
# is $\operatorname{softplus}(-g)$ and each part of $R_\text{LC}$ is $(2g)^2$, where the average counts as a constant.
# The forces balance where
#
# $$\sigma(-g) \;=\; \lambda\cdot 2\cdot 2g .$$
#
# (The library, as the authors' code, takes the mean logit of the batch, and only pulls logits together, never apart.)
# For $\lambda=0.05$, the default of `VQGAN`, what is $g$? And does a discriminator end there that has sixteen points of
# each kind, where the two kinds overlap?

# %%
few, unseen = points(16, spread=0.25, seed=2), points(256, spread=0.25, seed=3)
weight = 0.05
g = np.linspace(0, 5, 5001)
balance = g[np.argmin(np.abs(1 / (1 + np.exp(g)) - 4 * weight * g))]
epochs = 3 if FAST else 30
runs = {
    "without": train_critic(few, unseen, epochs),
    "with LeCam": train_critic(few, unseen, epochs, lecam_weight=weight),
}

_, axes = plt.subplots(1, 3, figsize=(11, 3.2), layout="constrained")
for axis, (name, history) in zip(axes, runs.items(), strict=False):
    for kind, colour in (("real", "C3"), ("made", "C0")):
        axis.plot(history[f"{kind}_logit"], colour, label=kind)
        axis.plot(history[f"val_{kind}_logit"], f"{colour}:", label=f"{kind}, unseen")
    axis.set(title=f"logits, {name}", xlabel="epoch")
axes[1].axhspan(-balance, balance, color="grey", alpha=0.15, label=f"predicted: ±{balance:.2f}")
axes[1].legend(fontsize=7)
for name, history in runs.items():
    axes[2].plot(history["val_accuracy"], label=f"{name}, unseen")
    axes[2].plot(history["accuracy"], ":", color=axes[2].lines[-1].get_color(), label=f"{name}, training")
axes[2].set(title="accuracy", xlabel="epoch", ylim=(0.4, 1.02))
axes[2].legend(fontsize=7)
plt.show()

# %% [markdown]
# Without LeCam the logits of the training points run apart without end, while the accuracy on unseen points has long
# stopped to improve: the growing confidence is learned by heart. With it they stop near the predicted distance: in
# probabilities the discriminator claims no more than about $\sigma(g)$, two to one, on average. The accuracies on the
# right differ little. What LeCam changes is the *size* of the opinion, and with it the gradient that the tokenizer gets
# from a discriminator that has only seen a few examples.

# %% [markdown]
# ## The average of the weights
#
# Even a game that settles does not stand still: every batch is a little different, and the players go on circling in
# the noise. Averaging the weights over the last steps, $\bar\theta\leftarrow\beta\bar\theta+(1-\beta)\theta$, removes
# the circling. $\beta=0.999$ remembers about $1/(1-\beta)=1000$ steps. The Dirac-GAN again, with noisy gradients:

# %%
path = play(r1_weight=0.02, steps=3000, noise=0.3)
average, averages = path[0], []
for point in path:
    average = losses.moving_average(average, point, 0.99)
    averages.append(average)
averages = np.array(averages)

_, axis = plt.subplots(figsize=(8, 2.6), layout="constrained")
axis.plot(path[:, 0], lw=0.5, label="theta")
axis.plot(averages[:, 0], label="its average")
axis.set(xlabel="step", ylabel="theta (0 is right)")
axis.legend(loc="upper right")
plt.show()
error = [np.sqrt(np.mean(p[1000:, 0] ** 2)) for p in (path, averages)]
print(f"distance from the solution after step 1000: {error[0]:.3f}, of the average {error[1]:.3f}")

# %% [markdown]
# ## All of it under `model.fit`
#
# `VQGAN` is a Keras model with two optimizers. One step computes both gradients at the old weights, applies both, and
# moves the averages:
#
# | | loss |
# |---|---|
# | tokenizer | L2 + 0.1 adversarial + 0.1 perceptual + commitment + codebook + entropy |
# | discriminator | adversarial + 10 R1 + 0.05 LeCam |
#
# Here it fine-tunes the decoder of the shipped 2D-VQ for a moment. `decoder_only` keeps encoder and codebook, so that
# all tokens keep their meaning, and `perceptual_loss=None` says that we do without the ResNet-50. To see who does what,
# it goes in three phases, with one compiled step: L2 alone (`generator_only_steps` lets the discriminator rest), the
# discriminator alone (the tokenizer's learning rate is 0), and both. What happens to the error, and what to the
# sharpness?

# %%
tokenizer = mk.ImageTokenizer.from_preset("2dvq_tiny_moving_shapes")
train_frames, test = (frames[:8], frames[64:72]) if FAST else (frames[:32], frames[64:])
phases = {"L2 alone": 1, "D alone": 1, "both": 1} if FAST else {"L2 alone": 2, "D alone": 5, "both": 7}
vqgan = mk.VQGAN(
    tokenizer,
    mk.ImageDiscriminator(filters=8, channel_multipliers=(2, 4), image_shape=(64, 64)),
    perceptual_loss=None,
    decoder_only=True,
    generator_only_steps=phases["L2 alone"] * len(train_frames) // 4,
    ema_decay=0.95,
)
vqgan.compile(
    generator_optimizer=keras.optimizers.Adam(2e-4, beta_1=0.0, beta_2=0.99),
    discriminator_optimizer=keras.optimizers.Adam(1e-3, beta_1=0.5, beta_2=0.99),
)
tokens = tokenizer.encode(test)  # they stay what they are: the encoder is frozen
track = {"psnr": [], "sharpness": [], "psnr, averaged": [], "sharpness, averaged": []}


def measure(*_):
    for model, suffix in ((vqgan.tokenizer, ""), (vqgan.ema_tokenizer, ", averaged")):
        images = np.clip(ops.convert_to_numpy(model.decode(tokens)), 0, 1)
        track[f"psnr{suffix}"].append(float(losses.psnr(test, images)))
        track[f"sharpness{suffix}"].append(sharpness(images))
    return images


before, history = measure(), {}
callback = keras.callbacks.LambdaCallback(on_epoch_end=measure)
for phase, epochs in phases.items():
    vqgan.optimizer.optimizers[0].learning_rate = 0.0 if phase == "D alone" else 2e-4
    fit = vqgan.fit(train_frames, batch_size=4, epochs=epochs, callbacks=[callback], verbose=0)
    history = {name: history.get(name, []) + values for name, values in fit.history.items()}

# %%
_, axes = plt.subplots(1, 3, figsize=(11, 3.2), layout="constrained")
for axis, name in zip(axes, ("psnr", "sharpness"), strict=False):
    axis.plot(track[name], "o-", ms=3, label="current weights")
    axis.plot(track[f"{name}, averaged"], label="averaged")
axes[0].set(title="PSNR on held-out frames (dB)")
axes[1].axhline(sharpness(test), color="k", ls="--", lw=0.8, label="real frames")
axes[1].set(title="sharpness")
for name, colour in (("d_real_logit", "C3"), ("d_fake_logit", "C0")):
    axes[2].plot(range(1, len(history[name]) + 1), history[name], colour, label=name)
axes[2].set(title="logits of the discriminator")
for axis in axes:
    for end in np.cumsum(list(phases.values()))[:-1]:
        axis.axvline(end, color="grey", ls=":", lw=1)
    axis.set_xlabel("epoch")
    axis.legend(fontsize=7)
plt.show()

# %% [markdown]
# The dotted lines part the phases. L2 alone moves little: it is near its optimum, well below the sharpness of real
# frames, and the first steps of a fresh optimizer cost it some tenths of a dB. In the second phase the discriminator
# learns to tell the two apart, and the pictures stand still. In the third both losses pull. In so few steps the
# sharpness hardly moves; the logits say why: how far apart are those of real and of made frames? In a long training
# the sharpness rises, and the squared error pays for it, as the first section said it must. The averaged weights follow
# with a delay and without the jitter.

# %%
after = np.clip(ops.convert_to_numpy(vqgan.ema_tokenizer.decode(tokens)), 0, 1)
chosen = np.argsort([-sharpness(image) for image in test])[:4]
pictures = {"real": test, "before": before, "after": after}
mk.show(
    [p[i] for p in pictures.values() for i in chosen],
    labels=[n for n in pictures for _ in chosen],
    fps=0,
    columns=4,
    scale=2,
)

# %% [markdown]
# A few dozen steps do not make a new decoder; look at the edges. `vqgan.ema_tokenizer` is the model to keep. A video
# tokenizer trains in the same way: `VideoTokenizer`, `VideoDiscriminator(video_shape=(16, 64, 64))`, clips in place of
# frames. The discriminator then sees time as well, and flicker between frames gives a reconstruction away.
#
# Watch these logs in a real run: `d_real_accuracy` and `d_fake_accuracy` near 1 for many epochs mean a discriminator
# that has won (more R1, or a smaller learning rate for it); near 0.5 while the pictures are bad, one that learns
# nothing.

# %% [markdown]
# ## Exercises
#
# **1.** For which R1 weight does the Dirac-GAN come closest to the solution in 100 steps of size 0.2? Compare with the
# formula for $\lambda$.
#
# <details><summary>Solution</summary>
#
# ```python
# weights = np.linspace(0, 2, 41)
# distance = [np.hypot(*play(w, steps=100)[-1]) for w in weights]
# print("best weight", weights[np.argmin(distance)])
# ```
#
# Near 0.5, where $w^2=\tfrac14$ and both eigenvalues are $-\tfrac12$. Below it the real part is $-w$; above it the
# larger eigenvalue is $-w+\sqrt{w^2-1/4}\approx-1/(4w)$, which goes back to 0.
#
# </details>
#
# **2.** R1 is taken on real pictures only. R2 takes it on made ones. Add it to the Dirac-GAN: what is the R2 penalty
# there, and does the game settle?
#
# <details><summary>Solution</summary>
#
# The slope of $D(x)=\psi x$ is $\psi$ everywhere, so that R2 is $\psi^2$ as well, and everything is as with R1. For a
# network the two differ, until real and made pictures coincide. A penalty on made pictures also has a gradient by the
# *generator*, if it is not stopped; the usual implementations stop it.
#
# ```python
# both = play(r1_weight=0.1 + 0.1)  # R1 + R2, each with the weight 0.1
# print("R1 + R2:", np.hypot(*both[-1]), " R1 alone:", np.hypot(*play(0.1)[-1]))
# ```
#
# </details>
#
# **3.** Which LeCam weight keeps the discriminator below 90 % confidence on its training pictures, in the symmetric
# picture above? Check it with `train_critic`.
#
# <details><summary>Solution</summary>
#
# $\sigma(g)=0.9$ gives $g=\log 9\approx2.2$, and the balance $\lambda=\sigma(-g)/(4g)=0.1/(4\cdot2.2)\approx0.0114$.
#
# ```python
# g = np.log(9)
# history = train_critic(few, unseen, 30, lecam_weight=0.1 / (4 * g))
# print("wanted", g, "reached", history["real_logit"][-1], history["made_logit"][-1])
# ```
#
# </details>
#
# **4.** Let the tokenizer's picture be $\hat x=(1-s)\bar x+s\,x'$: a mix of the blur and a sharp guess. What does the
# squared error say about $s$, and what is the best $s$ if sharpness below that of real pictures costs
# $\mu\,(1-s)$?
#
# <details><summary>Solution</summary>
#
# $\mathbb{E}\lVert x-\hat x\rVert^2=V+s^2V$ with the variance $V$. The sum $V(1+s^2)+\mu(1-s)$ is smallest at
# $s=\mu/(2V)$, at most 1. So the balance between the two losses, not the discriminator alone, decides how sharp the
# result is, and an uncertain decoder (large $V$) is left more blurred.
#
# ```python
# for s in (0, 0.5, 1):
#     mix = (1 - s) * mean + s * possible
#     print(s, np.mean((possible[:, None] - mix[None]) ** 2) / variance)  # 1 + s^2
# ```
#
# </details>

# %% [markdown]
# ## Further reading
#
# - MAGVIT ([arXiv 2212.05199](https://arxiv.org/abs/2212.05199)), Sec. 3.1 and appendix A: the losses of the 3D-VQ and their weights.
# - Goodfellow et al., Generative Adversarial Networks ([arXiv 1406.2661](https://arxiv.org/abs/1406.2661)): the game, and the non-saturating trick (Sec. 3).
# - Mescheder et al., Which Training Methods for GANs do actually Converge? ([arXiv 1801.04406](https://arxiv.org/abs/1801.04406)): the Dirac-GAN and R1.
# - Tseng et al., Regularizing GANs under Limited Data ([arXiv 2104.03310](https://arxiv.org/abs/2104.03310)): LeCam.
# - Esser et al., Taming Transformers ([arXiv 2012.09841](https://arxiv.org/abs/2012.09841)): VQGAN. Karras et al., StyleGAN2 ([arXiv 1912.04958](https://arxiv.org/abs/1912.04958)): the
#   discriminator.
# - In the library: `magvit_keras/tokenizer/losses.py`, `vqgan.py`, `discriminator.py`, each a page or two.
# - Next: [lesson 5](05_maskgit.ipynb), from tokens to pictures.
