"""What every notebook of the course imports: `from helpers import check, checkpoint, drawing, media, setup`.

Importing this package is quick and imports no Hugging Face library: those read HF_* variables once, when they
are imported, so `setup()` must come first.
"""

from helpers.checkpoints import checkpoint
from helpers.session import setup

__all__ = ["check", "checkpoint", "drawing", "media", "setup"]
