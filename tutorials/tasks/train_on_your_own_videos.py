# %% [markdown]
# # Train on your own videos
#
# From a folder of video files to a model that continues and makes clips, with `mk.train`: two stages, checkpoints, and
# one folder that holds everything. [Lesson 9](../09_your_own_videos.ipynb) explains the steps; this is the recipe.

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

import numpy as np

# %% [markdown]
# ## 1. The folder
#
# A sub-folder is a class; a folder without sub-folders is one class. On Colab, mount your drive first (`from
# google.colab import drive; drive.mount("/content/drive")`) and give the path there. Without one the cell makes a few
# files, so that the notebook runs.

# %%
folder = None  # your path here, such as "/content/drive/MyDrive/videos"

work = pathlib.Path(tempfile.mkdtemp())  # for a long training choose a folder that stays, such as one on the drive
if folder is None:
    folder = work / "videos"
    example = mk.data.MovingShapes(
        12, num_frames=20, size=(64, 80), shapes=("star", "ring"), motions=("orbit", "spin"), occlusion=0.0, seed=3
    )
    example.write_videos(folder)

# %% [markdown]
# ## 2. Check
#
# The size of a clip must divide by that of a token: here frames, height and width by 4.

# %%
num_frames, size, frame_stride = 16, (64, 64), 1
videos = mk.data.VideoFolder(folder, num_frames=num_frames, size=size, frame_stride=frame_stride)
print(videos.scan())
print("classes:", videos.class_names)
mk.show(videos.arrays(limit=4)["video"], columns=4)

# %% [markdown]
# ## 3. Train
#
# | Setting | Choose it by |
# |---|---|
# | `tokenizer` | a preset: `"3dvq_tiny_moving_shapes"` has weights; `"3dvq_base_ucf101"` is for a GPU; or a folder |
# | `transformer` | `"tiny"`, `"base"`, `"large"`, or constructor arguments |
# | `start_from` | in the place of both, a whole model that is trained further: `"magvit_tiny_moving_shapes"`, a folder |
# | `tasks` | any of `list(mk.TASKS)`; those with "class" need sub-folders |
# | `tokenizer_steps`, `transformer_steps` | thousands. The numbers below only show that it runs |
# | `adversarial` | sharper pictures, several times the time |
#
# Killed or stopped, the same call goes on from its last checkpoint. Other settings need another folder.

# %%
fast = {"tokenizer_steps": 2, "transformer_steps": 2, "checkpoint_steps": 1, "token_passes": 1}
short = {"tokenizer_steps": 12, "transformer_steps": 30, "checkpoint_steps": 6, "token_passes": 1}
# For a real training: {"tokenizer_steps": 5000, "transformer_steps": 20000, "checkpoint_steps": 100, "token_passes": 8}
magvit = mk.train(
    folder,
    work / "run",
    verbose=0 if FAST else 2,
    num_frames=num_frames,
    size=size,
    frame_stride=frame_stride,
    tasks=("frame_prediction", "class_conditional_generation"),
    tokenizer="3dvq_tiny_moving_shapes",
    transformer={"num_layers": 2, "hidden_size": 96, "num_heads": 4, "mlp_dim": 384},
    batch_size=2,
    changes={"transformer.batch_size": 4},
    **(fast if FAST else short),
)

# %% [markdown]
# ## 4. Look at the curves
#
# The tokenizer's `psnr` must rise and `perplexity` must not fall towards 1. The transformer's `loss` must fall below
# log(codebook size), which is what guessing costs.

# %%
print(f"log(codebook size) = {np.log(magvit.tokenizer.codebook_size):.2f}")
mk.visualize.plot_history(work / "run", names=["psnr", "perplexity", "loss"])

# %% [markdown]
# ## 5. Generate
#
# `mk.load_run("...")` gives the model back in another session.

# %%
given = videos.for_evaluation().arrays(limit=2)["video"]
made = magvit.generate("frame_prediction", video=given, num_steps=4 if FAST else 8, seed=0)
mk.show({"true": given, "continued from the first frame": made})

# %% [markdown]
# After so few steps this is a blur. It shows that every part works, on your files.
#
# ## 6. Keep and share
#
# `run/magvit` is a preset: `mk.Magvit.from_preset(path)` loads it on every backend, `mk.upload_preset("hf://me/name",
# path)` puts it on the Hugging Face hub. Its model card says what the training knows; the licence of your data is yours
# to add.

# %%
print(*sorted(path.name for path in (work / "run").iterdir()))
print((work / "run" / "magvit" / "README.md").read_text()[:900])
