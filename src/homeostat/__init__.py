"""Homeostat keeps machine-learning models in production healthy.

The names below are loaded when first used, so that ``import homeostat`` stays light.
"""

__version__ = "0.1.0"
