# %% [markdown]
# # Train on a Colab TPU
#
# With `keras.distribution` every core of a TPU takes a part of each batch. This notebook finds out what it runs on,
# says so, and trains a small transformer there: on a TPU, on GPUs, or on a CPU that pretends to be four devices, with
# the same code.
#
# On Colab choose *Runtime → Change runtime type → TPU* first. The next cell must come before anything imports JAX:
# where there is no TPU it asks for four simulated devices of the CPU. A TPU or a GPU does not mind it.

# %%
import os

simulated = "--xla_force_host_platform_device_count=4"
if "jax" not in __import__("sys").modules and simulated not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {simulated}".strip()

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

# %% [markdown]
# ## What is here?

# %%
import time

import keras
import numpy as np

backend = keras.config.backend()
devices = keras.distribution.list_devices()
kinds = {name.split(":")[0] for name in devices}
print(f"{backend} sees {len(devices)} device(s): {', '.join(devices)}")
if "tpu" in kinds:
    print("A TPU. Batches will be shared by its cores, and bfloat16 used.")
elif kinds & {"gpu", "cuda"}:
    print("GPUs. Batches will be shared by them, and bfloat16 used.")
else:
    print("No accelerator: simulated devices show that the program is right, not that it is fast.")

# %% [markdown]
# ## Start
#
# `mk.distribution.start` comes before any model is made, once. On JAX it sets `keras.distribution.DataParallel` over
# all devices; on TensorFlow it is `MirroredStrategy`; PyTorch needs a process for each GPU, started by `torchrun`, so a
# notebook uses one device. If you set your own `keras.distribution` instead, that works too: the library asks Keras
# what is set.

# %%
on_accelerator = bool(kinds & {"tpu", "gpu", "cuda"})
if on_accelerator:
    keras.config.set_dtype_policy("mixed_bfloat16")  # on a T4: "mixed_float16"
shared = mk.distribution.start("none" if backend == "torch" else "data")
print(f"{shared.batch_parts} device(s) share a batch: its size must be a multiple of {shared.batch_parts}")

# %% [markdown]
# ## Data: tokens, made once
#
# A TPU machine has few CPU cores for decoding video, and the tokenizer is frozen anyway. So make tokens first, keep
# them in memory or on disk (`magvit-keras tokenize --data FOLDER --out TOKENS --tokenizer PRESET`), and train from
# those. Batches of one size: a TPU compiles each new shape anew.

# %%
keras.utils.set_random_seed(0)
tokenizer = mk.VideoTokenizer.from_preset("3dvq_moving_shapes")  # small, with weights: 8x32x32
source = mk.data.MovingShapes(
    32 if FAST else 128, num_frames=8, size=(32, 32), shapes=("circle", "star"), occlusion=0.0, texture=0.15
)
sizes = (
    {"num_layers": 12, "hidden_size": 768, "num_heads": 12, "mlp_dim": 3072}  # B
    if on_accelerator
    else {"num_layers": 2, "hidden_size": 64, "num_heads": 4, "mlp_dim": 256}
)
transformer = mk.MaskedTransformer(
    tokenizer.codebook_size, num_classes=source.num_classes, latent_shape=(4, 8, 8), dropout=0.0, **sizes
)
magvit = mk.Magvit(tokenizer, transformer, ["class_conditional_generation"], class_names=source.class_names)
tokens = magvit.tokenize(source.arrays(), batch_size=32)
print({name: value.shape for name, value in tokens.items()})

# %% [markdown]
# ## Train
#
# The batch counts the clips of all devices together. The first step compiles, for a minute or so with the B sizes; look
# at the steps after it.

# %%
batch_size = 256 if on_accelerator else 32
repeats = max(1, batch_size // len(tokens["tokens"]))
data = {name: np.concatenate([value] * repeats) for name, value in tokens.items()}
magvit.compile(keras.optimizers.Adam(1e-3))


class Clock(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        self.ends = [time.perf_counter()]

    def on_train_batch_end(self, batch, logs=None):
        self.ends.append(time.perf_counter())


clock = Clock()
epochs = 2 if FAST else 5
history = magvit.fit(data, batch_size=batch_size, epochs=epochs, verbose=0, callbacks=[clock])
seconds = np.diff(clock.ends)
print(f"loss by epoch: {np.round(history.history['loss'], 2)}")
later = np.median(seconds[1:])
print(f"first step {seconds[0]:.1f} s, then {later:.3f} s: {batch_size / later:.0f} clips/s")

# %% [markdown]
# ## Where is a weight?
#
# On JAX an array knows which devices hold it. In data parallel training each has a copy of every weight, and its own
# part of the batch.

# %%
kernel = next(v for v in transformer.variables if v.path.endswith("mlp_in/kernel"))
if backend == "jax":
    shards = kernel.value.addressable_shards
    print(f"{kernel.path} {tuple(kernel.shape)}: on {len(shards)} device(s), {shards[0].data.shape} on each")
    if shared.batch_parts > 1:
        layout = keras.distribution.distribution().get_data_layout((batch_size, 4, 8, 8))
        print("a batch is divided along:", layout.axes)
else:
    print(f"{kernel.path} {tuple(kernel.shape)}: {backend} does not say it in this way.")

# %% [markdown]
# ## Generate
#
# As everywhere; a number of clips that the devices can share evenly is divided between them.

# %%
labels = ["star_orbit", "circle_left_right", "star_pulse", "circle_diagonal"]
clips = magvit.generate(label=labels, num_steps=4, seed=0)
mk.show(clips, labels=labels, columns=4)

# %% [markdown]
# A few steps are no training: for one, raise the number of clips to some thousands and train for hours.
#
# ## A model too large for one core
#
# `mk.distribution.start("model", model_devices=2)` shares heads, MLPs and embeddings of the transformer between pairs
# of devices (`keras.distribution.ModelParallel` with a `LayoutMap`; JAX). Use it only where a copy on each device does
# not fit.
#
# ## Long trainings
#
# Colab takes the machine back after some hours. Keep the run's folder on your drive, and the same command goes on:
#
# ```bash
# KERAS_BACKEND=jax magvit-keras train --data VIDEOS --out /content/drive/MyDrive/run --distribution data --batch-size 8
# ```
#
# A TPU pod, several GPUs, Slurm: `docs/how_to/distributed.md`. What limits the speed: [lesson
# 10](../10_scaling_up.ipynb).
