"""Several devices and processes, and what hardware there is."""

from magvit_keras._lazy import public_names

__all__, __getattr__, __dir__ = public_names(__name__, {}, ("distribution", "hardware"))
