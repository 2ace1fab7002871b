"""Public names that are imported on first use, so that light parts load neither Keras nor a backend."""

import importlib
from collections.abc import Callable, Iterable
from typing import Any


def public_names(
    package: str, names: dict[str, str], rooms: Iterable[str] = ()
) -> tuple[list[str], Callable[[str], Any], Callable[[], list[str]]]:
    """What a package needs for that: its `__all__`, `__getattr__` and `__dir__`.

    Args:
        package: its dotted name.
        names: public name -> dotted name of the module that defines it.
        rooms: sub-packages that are public too.
    """
    known = [*names, *rooms]

    def getattr_(name: str) -> Any:
        if name in names:
            module = importlib.import_module(names[name])
            return getattr(module, name, module)  # a public name may be the module's own
        if name in known:
            return importlib.import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}; known names: {', '.join(known)}")

    return known, getattr_, lambda: sorted(known)
