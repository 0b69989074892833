"""Errors a user can act on: each message says what was expected, what came and what to do."""

from __future__ import annotations


class DynaMaskError(Exception):
    """Base of every error that the command line prints as one sentence (exit status 2)."""


class InputError(DynaMaskError):
    """A photo, box or option cannot be used as it is."""


class WeightsError(DynaMaskError):
    """A weights file is missing, unsafe, damaged or of another preset."""


class PolicyError(DynaMaskError):
    """A selection policy is unknown or cannot be met."""


class DataError(DynaMaskError):
    """A COCO file or dataset folder is missing or malformed."""
