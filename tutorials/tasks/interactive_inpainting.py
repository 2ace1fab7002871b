# %% [markdown]
# # Draw a hole, and let the model fill it
#
# MAGVIT is trained to complete clips from whatever part of them is given. The part need not be one of the ten tasks'
# boxes: any mask of pixels will do. Here you paint over a clip with the mouse or a finger, and the model makes what was
# under the paint.
#
# Drawing works in Jupyter, VS Code and Colab, on a plain HTML canvas that hands its pixels to a hidden text field of
# `ipywidgets`; no other package is needed. Sliders do the same where a script may not run. Without anybody at the mouse
# the notebook takes a prepared sketch. The same canvas on a page of its own, with all ten tasks: `magvit-keras studio`.

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
import base64
import importlib.util
import io
import itertools

import keras
import numpy as np
from PIL import Image

from magvit_keras.studio import canvas_script

magvit = mk.Magvit.from_preset("magvit_tiny_moving_shapes")
T, H, W = magvit.video_shape

source = mk.data.MovingShapes(8, num_frames=T, size=(H, W), split="test", look="grid")
clip = source[3]["video"]  # uint8 (T, H, W, 3): yours goes here
mk.show(clip)

# %% [markdown]
# ## The sketch
#
# A mask of the frame's size, True where you have painted. `prepared` is a thick stroke; painting replaces it.


# %%
def stroke(points, radius):
    """True within `radius` pixels of a line through the points (row, column)."""
    rows, columns = np.mgrid[:H, :W]
    mask = np.zeros((H, W), bool)
    for (r0, c0), (r1, c1) in itertools.pairwise(points):
        for part in np.linspace(0, 1, 30):
            mask |= (rows - r0 - part * (r1 - r0)) ** 2 + (columns - c0 - part * (c1 - c0)) ** 2 <= radius**2
    return mask


prepared = stroke([(18, 10), (30, 30), (44, 52)], radius=9)

CANVAS = """
<div id="@ID@" style="font: 13px sans-serif">
<canvas width="@WIDTH@" height="@HEIGHT@" tabindex="0" style="touch-action: none; cursor: crosshair"></canvas>
<div>brush <input type="range" min="2" max="16" value="7"> <button>clear</button> <span></span></div>
</div>
<script>
(() => {
  @SCRIPT@
  const root = document.getElementById("@ID@"), cells = Uint8Array.from("@CELLS@", Number), picture = new Image();
  const send = () => {  // to Python: the hidden text field of ipywidgets in the same output
    const field = document.querySelector(".@ID@ textarea");
    root.querySelector("span").textContent = field ? "sent" : "no kernel: this page only shows";
    if (!field) return;
    field.value = cells.join("");
    for (const kind of ["input", "change"]) field.dispatchEvent(new Event(kind, {bubbles: true}));
  };
  const {draw, brush} = holeCanvas(root.querySelector("canvas"), {
    rows: @ROWS@, columns: @COLUMNS@, cells: () => cells, done: send,
    picture: (pen, width, height) => pen.drawImage(picture, 0, 0, width, height),
    put: (cell, on) => { cells[cell] = on; },
  });
  root.querySelector("input").oninput = (event) => { brush.radius = +event.target.value; };
  root.querySelector("button").onclick = () => { cells.fill(0); draw(); send(); };
  picture.onload = draw;
  picture.src = "data:image/png;base64,@PICTURE@";
})();
</script>
"""


def canvas_html(frame, mask, identity, enlarge=6):
    file = io.BytesIO()
    Image.fromarray(frame).save(file, "PNG")
    fill = {
        "ID": identity,
        "WIDTH": W * enlarge,
        "HEIGHT": H * enlarge,
        "ROWS": H,
        "COLUMNS": W,
        "CELLS": "".join(map(str, mask.astype(int).ravel())),
        "SCRIPT": canvas_script(),
        "PICTURE": base64.b64encode(file.getvalue()).decode(),
    }
    html = CANVAS
    for name, value in fill.items():
        html = html.replace(f"@{name}@", str(value))
    return html


# %% [markdown]
# ## Paint
#
# Paint over the first frame, then press *Generate*, or run the next cells. *Drift* lets the paint follow a moving
# shape; *frames* says in which of them it lies. The box sliders make a rectangle instead.

# %%
painted = {"mask": prepared, "drift": (0, 0), "frames": (0, T)}


def hole():
    """(T, H, W), True under the paint."""
    mask = np.zeros((T, H, W), bool)
    first, last = painted["frames"]
    for t in range(first, last):
        rows, columns = (round(step * t) for step in painted["drift"])
        moved = np.zeros((H, W), bool)
        r, c = np.nonzero(painted["mask"])
        inside = (r + rows >= 0) & (r + rows < H) & (c + columns >= 0) & (c + columns < W)
        moved[r[inside] + rows, c[inside] + columns] = True
        mask[t] = moved
    return mask


def fill(seed=0, num_clips=2, num_steps=4 if FAST else 12):
    """The clip with the hole, and some ways to fill it."""
    mask = hole()
    video = np.repeat(clip[None], num_clips, axis=0)
    made = magvit.generate(
        video=video, condition_mask=~mask, seed=seed, num_steps=num_steps, keep_condition=True
    )  # the mask says what is given
    grey = np.where(mask[..., None], 0.5, clip / 255.0)
    return mk.show(
        {"hole": grey, **{f"filled, {i + 1}": one for i, one in enumerate(made)}, "true": clip / 255.0}, fps=6
    )


if importlib.util.find_spec("ipywidgets") is None:
    print("ipywidgets is not installed: the prepared sketch it is.")
else:
    import ipywidgets as widgets
    from IPython.display import HTML, display

    text = widgets.Textarea(value="", layout=widgets.Layout(display="none"))
    text.add_class("magvit-sketch")
    rows = widgets.IntRangeSlider(value=(0, 0), max=H, description="box: rows")
    columns = widgets.IntRangeSlider(value=(0, 0), max=W, description="columns")
    frames = widgets.IntRangeSlider(value=(0, T), max=T, description="frames")
    down = widgets.FloatSlider(value=0, min=-4, max=4, step=0.5, description="drift down")
    right = widgets.FloatSlider(value=0, min=-4, max=4, step=0.5, description="drift right")
    button = widgets.Button(description="Generate", button_style="primary")
    result = widgets.Output()

    def on_paint(change):
        if len(change["new"]) == H * W:
            painted["mask"] = np.array(list(change["new"])).reshape(H, W) == "1"

    def on_slide(change):
        painted.update(frames=frames.value, drift=(down.value, right.value))
        if change["owner"] in (rows, columns):  # a box instead of a stroke
            painted["mask"] = np.zeros((H, W), bool)
            painted["mask"][slice(*rows.value), slice(*columns.value)] = True

    def on_click(_):
        with result:
            result.clear_output(wait=True)
            print("generating ...")
            shown = fill(seed=int(np.random.default_rng().integers(1000)))
            result.clear_output(wait=True)
            display(shown)

    text.observe(on_paint, "value")
    for slider in (rows, columns, frames, down, right):
        slider.observe(on_slide, "value")
    button.on_click(on_click)
    display(text, HTML(canvas_html(clip[0], prepared, "magvit-sketch")))
    display(widgets.VBox([frames, down, right, rows, columns, button, result]))

# %% [markdown]
# ## Fill
#
# The same without a button. Two seeds are two ways to fill the hole; where the surroundings leave no choice they agree.

# %%
fill()

# %% [markdown]
# `generate` takes the mask as `condition_mask`, (T, H, W) or one for each clip, True where a pixel is **given**. The
# task's prompt is that of inpainting, the nearest kind that was trained.
#
# ## What the model sees
#
# Pixels under the paint become zeros, and the clip with the hole is encoded. A token is *unknown* (`ispad`) as soon as
# one of its pixels is painted, so even a thin line costs whole tokens. The others are given. But the encoder looked at
# the zeros beside them, too, which is why COMMIT does not keep given tokens: it refines them ([lesson
# 6](../06_commit.ipynb)). How many of which?

# %%
mask = hole()
made = magvit.generate(
    video=clip[None],
    condition_mask=~mask,
    num_steps=4 if FAST else 12,
    return_details=True,
)
unknown = made.ispad[0]  # (t, h, w)
given = keras.ops.convert_to_numpy(magvit.tokenizer.encode(made.condition_video))[0]
refined = (given != made.tokens[0]) & ~unknown
print(f"{mask.mean():.0%} of the pixels are painted, {unknown.mean():.0%} of the tokens unknown")
print(f"of the {np.sum(~unknown)} given tokens {np.sum(refined)} were changed")
colours = np.zeros((*unknown.shape, 3))
colours[unknown] = (0.95, 0.8, 0.2)
colours[refined] = (0.2, 0.4, 0.9)
tint = mk.visualize.to_pixels(colours, (T, H, W))
overlay = np.where(tint.any(-1, keepdims=True), 0.5 * tint + 0.5 * clip / 255.0, clip / 255.0)
mk.show(
    {"yellow: unknown; blue: refined": overlay, "condition": made.condition_video[0], "generated": made.video[0]}, fps=6
)

# %% [markdown]
# ## Try
#
# - Paint over the shape in all frames: the background is completed and the shape is gone, or another one appears.
# - Paint in the last frames only (*frames* 5 to 16): that is frame prediction with a hole of any form.
# - A grid of thin lines: few pixels are painted, yet nearly all tokens are unknown.
#
# Your own clip: an array of the model's shape, `mk.data.VideoFolder(folder, num_frames=16, size=(64, 64))[0]["video"]`.
# For real videos the model must have been trained on such: [train on your own
# videos](train_on_your_own_videos.ipynb).
