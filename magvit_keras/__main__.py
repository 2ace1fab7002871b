"""`python -m magvit_keras`."""

from magvit_keras.cli import app

app()
