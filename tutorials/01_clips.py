# %% [markdown]
# # 1. Clips and the built-in data

# %%
# Setup, the same in every notebook: installs the library where it is missing (Colab) and picks the backend.
import importlib.util
import os
import subprocess
import sys

if importlib.util.find_spec("magvit_keras") is None:
    source = "magvit-keras[plots,video] @ git+https://github.com/magvit_keras/magvit_keras"
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", source], check=True)

import magvit_keras as mk

print("Backend:", mk.choose_backend())
FAST = os.environ.get("MAGVIT_KERAS_FAST") == "1"  # a tenth of the steps, for automatic tests

# %%
import matplotlib.pyplot as plt

plt.plot([1, 2])
plt.show()
