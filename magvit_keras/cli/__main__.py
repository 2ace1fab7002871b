"""`python -m magvit_keras.cli`."""

from magvit_keras.cli import app

app()
