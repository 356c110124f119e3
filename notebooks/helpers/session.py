"""`setup()`, the first call of every notebook: it chooses the tier and says so in a short table."""

import os
import platform
import random
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from helpers import checkpoints
from helpers.checkpoints import Tier

SEED = 2026
OWN = Path(tempfile.gettempdir(), f"course-{getattr(os, 'getuid', lambda: 'files')()}")
VARIABLES = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_TEMP_DIR": str(OWN / "gradio"),  # several people may share a machine
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "PYTORCH_ENABLE_MPS_FALLBACK": "1",  # what Apple's GPU lacks runs on the CPU
    "TOKENIZERS_PARALLELISM": "false",  # else a warning whenever a notebook starts a process
}


def setup(*roles: str, tier: str = "auto") -> str:
    """Prepare this session, print it as a table, and return the device to compute on.

    Args:
        roles: the roles whose checkpoints this notebook uses, such as "detector".
        tier: "micro", "small", "full", or "auto", which `helpers.checkpoints.choose_tier` decides.

    Returns:
        "cuda", "mps" or "cpu"; on micro always "cpu", where the stored numbers come from.

    Raises:
        ValueError: an unknown role or tier.
        ConnectionError, FileNotFoundError, MemoryError: a tier asked for by name cannot run here;
            where nobody asked, the session is micro instead.
        PermissionError: the same, or there is no folder of one's own for temporary files.
    """
    for role in roles:
        checkpoints.row(role, "micro")
    caches = {"MPLCONFIGDIR": str(OWN / "matplotlib"), "NUMBA_CACHE_DIR": str(OWN / "numba")}
    homeless = not os.access(os.path.expanduser("~"), os.W_OK)  # noqa: PTH111 ("~": there is none)
    if homeless or "GRADIO_TEMP_DIR" not in os.environ:
        _keep_private(OWN)
    for name, value in (VARIABLES | (caches if homeless else {})).items():
        os.environ.setdefault(name, value)
    chosen = checkpoints.choose_tier(tier, roles)
    try:
        download = "nothing" if chosen.name == "micro" else _to_download(roles, chosen.name)
    except (OSError, MemoryError) as error:
        if chosen.named:
            raise
        chosen, download = Tier("micro", str(error)), "nothing"
    if chosen.name == "micro":  # no bar is worth drawing for loading 2 MB
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    checkpoints._current = chosen

    import torch

    device = "cpu"
    if chosen.name != "micro":
        device = "mps" if torch.backends.mps.is_available() else device
        device = "cuda" if torch.cuda.is_available() else device
    _seeds_and_style()
    other = "micro" if chosen.name != "micro" else "small"
    packages = (f"{name} {version(name)}" for name in ("torch", "transformers"))
    table = {
        "tier": f"{chosen.name} ({chosen.why})",
        "switch": f'tier="{other}" in this cell or COURSE_TIER={other}, then restart the kernel',
        "download": download,
        "device": f"{device}, {torch.get_num_threads()} threads",
        "memory": f"{checkpoints.free_memory_mb():,} MB free",
        "versions": ", ".join([f"Python {platform.python_version()}", *packages]),
    }
    print("\n".join(f"{name:<10}{value}" for name, value in table.items()))
    return device


def _keep_private(folder: Path) -> None:
    """Make a folder for this user alone, in a place where others may have put one of its name."""
    why, me = "cannot be made", getattr(os, "getuid", lambda: 0)()  # on Windows everybody is 0
    with suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
        if {folder.lstat().st_uid, folder.stat().st_uid} == {me}:  # of a link, and where it leads
            return folder.chmod(0o700)
        why = "is another user's"
    raise PermissionError(f"{folder} {why}: set TMPDIR to a folder of your own.")


def _to_download(roles: Iterable[str], tier: str) -> str:
    """Say how much is to come; raise now, not before a class, if it cannot come or does not fit."""
    if shortage := checkpoints.memory_shortage(roles, tier):
        raise MemoryError(f"Too little memory: {shortage}: close something or use tier='micro'.")
    missing = [role for role in roles if not checkpoints.cached_snapshot(role, tier)]
    sizes = {role: checkpoints.weights_on_hub(role, tier)[1] / 1e6 for role in missing}
    parts = ", ".join(f"{role} {megabytes:,.0f} MB" for role, megabytes in sizes.items())
    return parts or ("nothing, all is cached" if roles else "when a checkpoint is first used")


def _seeds_and_style() -> None:
    """The same numbers at every run; figures that a colour-blind reader can tell apart."""
    import matplotlib.pyplot as plt
    import numpy as np
    import torch
    from matplotlib_inline.backend_inline import set_matplotlib_formats

    random.seed(SEED)
    np.random.seed(SEED)  # noqa: NPY002 - libraries still draw from the global generator
    torch.manual_seed(SEED)
    if "inline" in plt.get_backend():  # a figure that holds a picture is ten times as large in PNG
        set_matplotlib_formats("jpeg", pil_kwargs={"quality": 90})
    plt.style.use("tableau-colorblind10")
    plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False})
