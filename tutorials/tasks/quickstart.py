# %% [markdown]
# # Quickstart: clips in a minute
#
# The package comes with a small MAGVIT for **Moving Shapes**, clips of 16 frames of 64×64 pixels that are drawn from a
# seed. This notebook uses it for four of its ten tasks. There is nothing to download and nothing to train; a CPU will
# do.

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
magvit = mk.Magvit.from_preset("magvit_tiny_moving_shapes")
print(f"{magvit.count_params():,} parameters; clips of {magvit.video_shape}, tokens {magvit.latent_shape}")
print("tasks:", ", ".join(magvit.tasks))
print("classes:", ", ".join(magvit.class_names[:6]), "...")

# %% [markdown]
# ## Clips of a class
#
# Class and seed say it all. On a CPU each clip takes a few seconds, and the first call compiles. `num_revisions=1` looks
# all tokens over once more: small models draw pieces that do not fit together.

# %%
steps = 4 if FAST else 12
names = ["star_orbit", "circle_left_right", "ring_pulse", "square_spin"]
clips = magvit.generate("class_conditional_generation", label=names, num_steps=steps, num_revisions=1, seed=0)
mk.show(clips, labels=names, columns=4)

# %% [markdown]
# `clips` is an array (4, 16, 64, 64, 3) of floats in [0, 1]. The same seed gives the same clips on every backend,
# but where two scores tie within rounding; another one gives others.
#
# ## Continue, complete, extend a clip
#
# The other tasks are given a part of a clip. Here the parts are cut from held-out clips of the data set; put in your
# own array of that shape. The first row is what the model is given, the last what is true.

# %%
source = mk.data.MovingShapes(4, num_frames=16, size=(64, 64), split="test", look="grid")
video = source.arrays()["video"]
tasks = ["frame_prediction"] if FAST else ["frame_prediction", "central_inpainting", "vertical_outpainting"]
given, made = [], []
for task, clip in zip(tasks, video, strict=False):
    result = magvit.generate(task, video=clip[None], num_steps=steps, seed=1, keep_condition=True, return_details=True)
    given.append(magvit.condition(task, clip[None])[0])  # grey: not given
    made.append(result.video[0])
true = list(video[: len(tasks)] / 255.0)
mk.show({"given": given, "generated": made, "true": true}, caption="From left to right: " + ", ".join(tasks))

# %% [markdown]
# `keep_condition=True` puts the given pixels back into the result, which otherwise passes through the tokenizer like
# the rest.
#
# ## Keep a clip
#
# `mk.visualize.save_gif("clip.gif", clips)` and `save_mp4` write files; labels and a larger scale are options.

# %%
import pathlib
import tempfile

folder = pathlib.Path(tempfile.mkdtemp())
path = mk.visualize.save_gif(folder / "clips.gif", clips, labels=names, scale=2)
print(path.name, f"{path.stat().st_size / 1e3:.0f} kB")

# %% [markdown]
# ## Next
#
# - The course begins with [lesson 1](../01_clips.ipynb); decoding options (steps, temperature, guidance) are
#   [lesson 7](../07_decoding.ipynb).
# - Draw what is given and what is not: [interactive inpainting](interactive_inpainting.ipynb).
# - [Train on your own videos](train_on_your_own_videos.ipynb).
# - On the command line: `magvit-keras generate --run magvit_tiny_moving_shapes --task class_conditional_generation
#   --label star_orbit --out star.gif`.
