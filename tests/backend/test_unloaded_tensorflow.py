"""TensorFlow stays unloaded on the other backends, though Keras asks it about seeds and configs."""

import importlib.util
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.once

CODE = """
import sys
import keras
import numpy as np
import magvit_keras as mk

tokenizer_class = mk.VideoTokenizer  # from here on: a seed set before anything of the library is Keras' own affair
keras.utils.set_random_seed(0)
tokenizer = tokenizer_class(8, (1, 1), (True,), 1, embedding_dim=4, codebook_size=8, norm_groups=1)
tokenizer.compile(optimizer="adam")
tokenizer.fit(np.zeros((1, 2, 4, 4, 3), "float32"), verbose=0)
tokenizer.save_to_preset(sys.argv[1])
tokenizer_class.from_preset(sys.argv[1])
print("tensorflow" in sys.modules)
"""


@pytest.mark.skipif(not importlib.util.find_spec("tensorflow"), reason="TensorFlow is not installed")
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_training_saving_and_loading_do_without_it(backend, tmp_path):
    environment = {**os.environ, "KERAS_BACKEND": backend}
    command = [sys.executable, "-c", CODE, str(tmp_path / "preset")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.stdout.split()[-1:] == ["False"], done.stdout + done.stderr
