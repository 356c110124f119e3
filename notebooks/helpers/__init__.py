"""What every notebook imports: `from helpers import check, checkpoint, drawing, media, setup`.

Importing this imports no Hugging Face library: they read HF_* variables at import, and `setup()`
sets those. On Colab it installs what Colab lacks; elsewhere it only says what is missing.
"""

from helpers.packages import prepare

prepare()  # first, because what follows imports those packages

from helpers.checkpoints import checkpoint
from helpers.session import setup

__all__ = ["checkpoint", "setup"]  # check, drawing and media are modules of this package
