"""The version of the package, which is written here alone. Nothing is imported, so that reading it is cheap."""

__all__ = ["TOLD", "VERSION"]

VERSION = "0.1.0"

#: What ``plugin-compat --version`` prints.
TOLD = f"plugin-compat, version {VERSION}"
