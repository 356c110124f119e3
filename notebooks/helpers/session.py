"""`setup()`: the first call of every notebook. It chooses the tier, sets the session up and says what it did."""

import os
import platform
import random
import sys
from importlib.metadata import version

from helpers import checkpoints

SEED = 2026


def setup(*roles: str, tier: str | None = None) -> str:
    """Set this notebook's session up, print it as a short table and return the device to compute on.

    Args:
        roles: the roles whose checkpoints this notebook uses ("detector", …).
        tier: "micro", "small" or "full" by name; None lets the course choose (see `choose_tier`).

    Returns:
        "cuda", "mps" or "cpu". On micro always "cpu", so that the numbers are those of the stored outputs.

    Raises:
        ValueError: for an unknown role or tier, which is named together with the nearest ones.
        MemoryError, ConnectionError, PermissionError, FileNotFoundError: if a tier asked for by name cannot
            run here. A tier nobody named falls back to micro instead.
        RuntimeError: if the tier changes after Hugging Face libraries were imported.
    """
    for role in roles:
        checkpoints.row(role, "micro")
    chosen = checkpoints.choose_tier(tier, roles)
    _environment(chosen.name)
    download, chosen = _download(roles, chosen)
    checkpoints._current = chosen
    device = _device(chosen.name)
    _seeds_and_style()

    import torch

    names = ", ".join([*(repr(role) for role in roles), 'tier="small"'])
    versions = [f"Python {platform.python_version()}"]
    versions += [f"{name} {version(name)}" for name in ("torch", "transformers")]
    table = {
        "tier": f"{chosen.name} ({chosen.why})",
        "switch": f"setup({names}) or COURSE_TIER=small, then restart the kernel",
        "download": download,
        "device": f"{device}, {torch.get_num_threads()} threads",
        "memory": f"{checkpoints.free_memory_mb():,} MB free",
        "versions": ", ".join(versions),
    }
    if chosen.name != "micro":
        table["switch"] = table["switch"].replace("small", "micro")
    print("\n".join(f"{key:<10}{value}" for key, value in table.items()))
    return device


def _environment(tier: str) -> None:
    """Set what libraries read once, at import: hence before any of them is imported."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # else a warning at every fork
    os.environ.setdefault(
        "PYTORCH_ENABLE_MPS_FALLBACK", "1"
    )  # what Apple's GPU lacks runs on the CPU
    # On micro nothing is downloaded: a stray download fails at once, and no bar is drawn for loading 2 MB.
    # A local Hub on 127.0.0.1 (HF_ENDPOINT) must stay in reach.
    offline = {"HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    if "HF_ENDPOINT" not in os.environ:
        offline["HF_HUB_OFFLINE"] = "1"
    ours = os.environ.get("COURSE_OFFLINE") == "1"
    if (tier == "micro") != ours and "huggingface_hub.constants" in sys.modules and ours:
        raise RuntimeError(
            f"Restart the kernel, then run setup again: the {tier} tier needs a fresh session."
        )
    if tier == "micro":
        for name, value in offline.items():
            os.environ.setdefault(name, value)
        os.environ["COURSE_OFFLINE"] = "1"
    elif ours:
        for name in (*offline, "COURSE_OFFLINE"):
            os.environ.pop(name, None)


def _download(roles: tuple[str, ...], tier: checkpoints.Tier) -> tuple[str, checkpoints.Tier]:
    """Say how much is to come, and stop or fall back before a class waits for what cannot come."""
    if tier.name == "micro":
        return "none", tier
    try:
        shortage = checkpoints.memory_shortage(roles, tier.name)
        if shortage:
            raise MemoryError(
                f"Too little memory: {shortage}; close other notebooks or use setup(tier='micro')."
            )
        missing = [role for role in roles if not checkpoints.cached_snapshot(role, tier.name)]
        sizes = {role: checkpoints.weights_on_hub(role, tier.name)[1] / 1e6 for role in missing}
    except (OSError, MemoryError) as error:
        if tier.named:
            raise
        return "none", checkpoints.Tier("micro", str(error))
    if not sizes:
        return "none: cached" if roles else "when a checkpoint is first used", tier
    parts = ", ".join(f"{role} {size:,.0f} MB" for role, size in sizes.items())
    return f"{sum(sizes.values()):,.0f} MB ({parts})" if len(sizes) > 1 else parts, tier


def _device(tier: str) -> str:
    import torch

    if tier != "micro" and torch.cuda.is_available():
        return "cuda"
    if tier != "micro" and torch.backends.mps.is_available():
        return "mps"
    return "cpu"


def _seeds_and_style() -> None:
    """The same numbers at every run, and figures whose colours a colour-blind reader can tell apart."""
    import matplotlib.pyplot as plt
    import numpy as np
    import torch

    random.seed(SEED)
    np.random.seed(SEED)
    torch.manual_seed(SEED)
    plt.style.use("tableau-colorblind10")
    plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "figure.dpi": 100})
