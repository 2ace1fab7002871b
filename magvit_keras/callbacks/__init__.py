"""Callbacks for long trainings: checkpoints that survive a kill, health checks, samples, scores."""

from magvit_keras._lazy import public_names

_PUBLIC = {
    "Checkpoint": "magvit_keras.callbacks.checkpoint",
    "CollapseWarning": "magvit_keras.callbacks.health",
    "DiscriminatorWarning": "magvit_keras.callbacks.health",
    "Measure": "magvit_keras.callbacks.measure",
    "SampleReconstructions": "magvit_keras.callbacks.samples",
    "StopOnNaN": "magvit_keras.callbacks.health",
}

__all__, __getattr__, __dir__ = public_names(__name__, _PUBLIC)
