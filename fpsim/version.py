"""The package's version, for every layer."""

__version__ = "0.1.0"
