# %% [markdown]
# # Convert weights of others
#
# Checkpoints of the authors' Flax code, MaskGIT's image tokenizer, and VQGANs in PyTorch become presets of this
# library, which load on every backend. Neither Flax nor PyTorch is needed to read them, and nothing in a file is run.
#
# So that this notebook runs without a download, it writes **small stand-ins** in the authors' format first. Where a
# real file belongs, the cell says so.

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
import struct
import tempfile

import numpy as np
from keras import ops

from magvit_keras.convert import convert_checkpoint
from magvit_keras.convert.flax import flax_paths

work = pathlib.Path(tempfile.mkdtemp())

# %% [markdown]
# ## Stand-ins
#
# A checkpoint of Flax is MessagePack: nested dicts with arrays at their ends. The authors' trainer of the tokenizer
# stores, beside its optimizers, the parameters of generator and discriminator and the averaged ones (`ema_params`). The
# stand-in holds the weights of a shipped tokenizer under the authors' names, so what comes out of the conversion can be
# checked.


# %%
def pack(value):
    """MessagePack of dicts, texts, small integers and arrays, as Flax writes it."""
    if isinstance(value, dict):
        return b"\xde" + struct.pack(">H", len(value)) + b"".join(pack(k) + pack(v) for k, v in value.items())
    if isinstance(value, list):
        return bytes([0x90 | len(value)]) + b"".join(map(pack, value))
    if isinstance(value, str):
        return b"\xd9" + bytes([len(value.encode())]) + value.encode()
    if isinstance(value, int):
        return b"\xd2" + struct.pack(">i", value)
    if isinstance(value, bytes):
        return b"\xc6" + struct.pack(">I", len(value)) + value
    inside = pack([list(value.shape), value.dtype.name, value.tobytes()])
    return b"\xc9" + struct.pack(">I", len(inside)) + b"\x01" + inside


def nested(flat):
    """{"a/b": x} as {"a": {"b": x}}."""
    tree = {}
    for path, array in flat.items():
        *folders, last = path.split("/")
        at = tree
        for name in folders:
            at = at.setdefault(name, {})
        at[last] = array
    return tree


def in_flax_names(model):
    return nested({path: ops.convert_to_numpy(variable) for path, variable in flax_paths(model).items()})


original = mk.VideoTokenizer.from_preset("3dvq_moving_shapes")
params = in_flax_names(original)
state = {"global_step": 7000, "g_params": params, "d_params": {}, "ema_params": params}
(work / "checkpoint_7000").write_bytes(pack(state))
print(f"checkpoint_7000: {(work / 'checkpoint_7000').stat().st_size / 1e6:.1f} MB;", *params)

# %% [markdown]
# ## The video tokenizer
#
# For a real checkpoint of the authors' code:
#
# ```python
# path = "/content/drive/MyDrive/vqgan/checkpoint_120000"  # the file, a folder with it, or the folder of the training
# preset = "3dvq_base_ucf101"  # or "3dvq_large_k600", ...; None reads the sizes off the arrays
# ```

# %%
path = work / "checkpoint_7000"  # your path here
preset = (
    "3dvq_moving_shapes"  # its sizes; what arrays cannot tell, such as the groups of the normalization, is in there
)

made = convert_checkpoint(path, preset=preset)
print(made.found)
print(*made.notes, sep="\n")
tokenizer = made.model
print(f"{type(tokenizer).__name__}, {tokenizer.count_params():,} parameters, padding {tokenizer.padding!r}")

# %% [markdown]
# **Look at reconstructions**, always. A conversion with wrong padding, or with frames in -1 to 1, runs and shows
# colours or borders that are off. Every configuration that the authors released pads with zeros (`"same"`), which is
# the default here.

# %%
look = {"occlusion": 0.0, "texture": 0.15}
clips = mk.data.MovingShapes(3, num_frames=8, size=(32, 32), split="test", **look).arrays()["video"]
rebuilt = np.clip(ops.convert_to_numpy(tokenizer.decode(tokenizer.encode(clips))), 0, 1)
same = np.array_equal(*(ops.convert_to_numpy(model.encode(clips)) for model in (tokenizer, original)))
print("the tokens of the original and of the converted tokenizer are equal:", same)
mk.show({"clip": clips, "reconstructed": rebuilt})

# %% [markdown]
# Keep it as a preset. From then on the checkpoint is not needed:

# %%
tokenizer.save_to_preset(work / "tokenizer", card={"data": "Moving Shapes", "licence": "apache-2.0"})
print(*sorted(path.name for path in (work / "tokenizer").iterdir()))

# %% [markdown]
# ## The transformer, and a whole model
#
# The transformer comes from another training, and needs its tokenizer to become a model that generates. Its arrays tell
# the number of classes and layers, but not which of the vocabulary are codes: those sizes come from a preset or a dict.
# For a real one:
#
# ```python
# convert_checkpoint("transformer/checkpoint_74000", preset="magvit_base_ucf101_cg", tokenizer="converted/tokenizer")
# ```

# %%
sizes = {"codebook_size": original.codebook_size, "latent_shape": (4, 8, 8)}
stand_in = mk.MaskedTransformer(
    num_classes=18, num_layers=2, hidden_size=64, num_heads=4, mlp_dim=128, num_segments=2, **sizes
)
state = {"global_step": 100, "params": in_flax_names(stand_in), "opt_state": {}}
(work / "checkpoint_100").write_bytes(pack(state))

whole = convert_checkpoint(
    work / "checkpoint_100",  # your path here
    preset={"transformer": {"config": sizes}},
    tokenizer=work / "tokenizer",
    tasks=["frame_prediction"],
)
print(whole.kind, "-", *whole.notes, sep="\n  ")
whole.model.save_to_preset(work / "magvit")

# %% [markdown]
# `prompts="official"` means the authors' vocabulary, in which all outpaintings share one prompt, and so do the
# inpaintings. A model of one task without prompts is recognised by its number of positions.
#
# The stand-in's transformer knows nothing; only the given frame is recognisable:

# %%
generated = whole.model.generate("frame_prediction", video=clips[:2], num_steps=4, keep_condition=True)
mk.show({"given: the first frame": clips[:2], "continued by random weights": generated})

# %% [markdown]
# ## MaskGIT's image tokenizer, and others
#
# | File | Call | Becomes |
# |---|---|---|
# | `tokenizer_imagenet256_checkpoint` of MaskGIT | `convert_checkpoint(path)` | `ImageTokenizer`, for inflation |
# | VQGANs in PyTorch (taming-transformers, LlamaGen) | `convert_checkpoint(path)` | `ImageTokenizer`, for training |
# | I3D, C3D, VGG16 for the metrics | `mk.convert.load_i3d(path)`, ... | networks for FVD, IS, LPIPS |
#
# MaskGIT's file has the same layout, in two dimensions. A stand-in of it, and how it starts a video tokenizer:

# %%
image = mk.ImageTokenizer(16, (1, 2), 1, embedding_dim=8, codebook_size=64, norm_groups=4, padding="same")
(work / "image_checkpoint").write_bytes(pack({"params": in_flax_names(image)}))
made = convert_checkpoint(
    work / "image_checkpoint",  # your path to tokenizer_imagenet256_checkpoint here; it needs no preset
    preset={
        "filters": 16,
        "channel_multipliers": (1, 2),
        "num_res_blocks": 1,
        "embedding_dim": 8,
        "codebook_size": 64,
        "norm_groups": 4,
    },
)
print(made.kind, "-", made.found)
video = mk.VideoTokenizer(16, (1, 2), (True,), 1, embedding_dim=8, codebook_size=64, norm_groups=4, padding="same")
mk.inflate(made.model, video, mode="central")
print(f"inflated: {made.model.count_params():,} parameters of frames -> {video.count_params():,} of clips")

# %% [markdown]
# The same on the command line:
#
# ```bash
# magvit-keras convert vqgan/checkpoint_120000 --preset 3dvq_base_ucf101 --out converted/tokenizer
# magvit-keras convert transformer/checkpoint_74000 --preset magvit_base_ucf101_cg --tokenizer converted/tokenizer \
#     --out converted/magvit
# ```
#
# What was verified, and with which versions of Flax: `docs/how_to/convert.md`.
