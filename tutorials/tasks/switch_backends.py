# %% [markdown]
# # One preset, three backends
#
# A model that is saved on one backend loads on every other and says the same. This notebook makes a preset on the
# backend it runs on, then loads it in a process of its own for JAX, TensorFlow and PyTorch, whichever are installed,
# and compares.
#
# A process has one backend: Keras fixes it when it is imported. That is why each gets its own.

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
import pathlib
import tempfile
import time

import keras
import numpy as np

keras.utils.set_random_seed(0)
folder = pathlib.Path(tempfile.mkdtemp())

# %% [markdown]
# ## Save
#
# A small model with fresh weights: what is compared is arithmetic, so training would not matter. The input is saved
# too.

# %%
tokenizer = mk.VideoTokenizer(16, (1, 2), (True,), 1, embedding_dim=8, codebook_size=64, norm_groups=1)
transformer = mk.MaskedTransformer(
    codebook_size=64, num_classes=3, latent_shape=(4, 8, 8), num_layers=2, hidden_size=64, num_heads=4, mlp_dim=128
)
magvit = mk.Magvit(tokenizer, transformer, tasks=["frame_prediction"])
magvit.save_to_preset(folder / "model")
clips = mk.data.MovingShapes(2, num_frames=8, size=(16, 16), split="test").arrays()["video"]
np.save(folder / "clips.npy", clips)
print(f"{magvit.count_params():,} parameters, written on {keras.config.backend()}")

# %% [markdown]
# ## Load, on each

# %%
script = folder / "outputs.py"
script.write_text("""
import sys
import numpy as np, keras, magvit_keras as mk
from keras.ops import convert_to_numpy as array

folder = sys.argv[1]
magvit = mk.Magvit.from_preset(folder + "/model")
clips = np.load(folder + "/clips.npy")
tokens = array(magvit.tokenizer.encode(clips))
sequence = np.concatenate([np.zeros((len(tokens), 2), "int32"), tokens.reshape(len(tokens), -1)], axis=1)
np.savez(
    f"{folder}/{keras.config.backend()}.npz",
    tokens=tokens,
    pixels=array(magvit.tokenizer.decode(tokens)),
    logits=array(magvit(sequence)),
    generated=magvit.generate("frame_prediction", video=clips, num_steps=4, seed=5),
)
""")
outputs = {}
for backend in ("jax", "tensorflow", "torch"):
    if importlib.util.find_spec(backend) is None:
        print(f"{backend} is not installed here: left out")
        continue
    began = time.time()
    environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run(
        [sys.executable, str(script), str(folder)], env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    with np.load(folder / f"{backend}.npz") as arrays:
        outputs[backend] = dict(arrays)
    print(f"{backend}: {time.time() - began:.0f} s")

# %% [markdown]
# ## Compare

# %%
first, *others = outputs
for other in others:
    print(f"{first} and {other}:")
    for name, value in outputs[first].items():
        difference = np.abs(value.astype("float64") - outputs[other][name]).max()
        print(f"  {name:>9} {value.shape!s:>18}: largest difference {difference:.1e}")
    np.testing.assert_array_equal(outputs[first]["tokens"], outputs[other]["tokens"])
    np.testing.assert_allclose(outputs[first]["logits"], outputs[other]["logits"], atol=1e-4)
    np.testing.assert_allclose(outputs[first]["generated"], outputs[other]["generated"], atol=1e-3)

# %% [markdown]
# Tokens are equal, numbers agree to float32 rounding, and even the *generated* clips are the same: `generate` draws its
# noise from a hash of seed, step and position in integer arithmetic, which has the same bits everywhere. (Where two
# candidates for a token are equal within rounding, backends may choose differently, and a clip then differs from that
# token on. It is rare.)
#
# ## Which one to use
#
# - **JAX** is the fastest of the three for these models on a TPU and compiles everything: the first call is slow.
# - **PyTorch** starts at once and is the easiest to debug: `print` works in every layer.
# - **TensorFlow** exports to SavedModel and LiteRT.
#
# `KERAS_BACKEND=torch` in the environment, or `os.environ["KERAS_BACKEND"] = "torch"` before the first import, chooses
# one. Trainings may move, too: a run's checkpoint holds optimizers, and the same `magvit-keras train` command goes on
# under another backend. See `docs/how_to/backends.md`.
