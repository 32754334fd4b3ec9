"""The one place of the version: the wheel, the User-Agent and `sf_integration.__version__` read it here."""

__version__ = "0.1.0"
