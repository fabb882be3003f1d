"""Atlases: an avatar's video, encoded once, and assembled afterwards (docs/preencode.md)."""

from .build import QUALITIES, Report, preencode
from .cache import begin, ensure, ensure_aside, load, path_of, report

__all__ = ["QUALITIES", "Report", "begin", "ensure", "ensure_aside", "load", "path_of", "preencode", "report"]
