"""Figures that several notebooks draw: boxes, masks, attention and matrices over matplotlib.

Each returns the matplotlib Axes, so that a cell can add to it. Colours are Okabe and Ito's (2008,
https://jfly.uni-koeln.de/color), which colour-blind readers can tell apart.
"""

import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A5195", "#444444")


def boxes(
    image: Image.Image, detections: Sequence[dict], title: str = "", axes: "Axes | None" = None
) -> "Axes":
    """Draw labelled boxes on a picture.

    Args:
        image: the picture that was searched.
        detections: as the object-detection pipeline returns them: {"label": str, "score": float,
            "box": {"xmin", "ymin", "xmax", "ymax"}} in pixels. Without a score none is written;
            below a score of 0.05 the box is thin and has no name.
        title: over the picture.
        axes: where to draw; a new figure if None.
    """
    from matplotlib.patches import Rectangle

    axes = _shown(image, title, axes)
    for found in sorted(detections, key=lambda found: found.get("score", 1)):  # the best on top
        colour = colour_of(found["label"])
        x, y, right, below = (found["box"][side] for side in ("xmin", "ymin", "xmax", "ymax"))
        faint = found.get("score", 1) < 0.05
        line = {"fill": False, "edgecolor": colour, "linewidth": 0.8 if faint else 2.5}
        axes.add_patch(Rectangle((x, y), right - x, below - y, **line))
        if faint:
            continue
        score = f" {found['score']:.2f}" if "score" in found else ""
        # Above the box, or inside it where the picture ends.
        above = y > 0.06 * image.height
        axes.text(
            x, y, f" {found['label']}{score} ", color="white", fontsize=9,
            verticalalignment="bottom" if above else "top", clip_on=True,
            bbox={"facecolor": colour, "edgecolor": "none", "pad": 1.5},
        )  # fmt: skip
    return axes


def masks(
    image: Image.Image,
    masks: np.ndarray,
    title: str = "",
    axes: "Axes | None" = None,
    points: Sequence[Sequence[float]] = (),
    labels: Sequence[int] | None = None,
    names: Sequence[str] = (),
) -> "Axes":
    """Lay masks over a picture, each with its own colour and outline, and the clicks on top.

    Args:
        image: the picture.
        masks: bool, shape (masks, height, width) or (height, width); an array or a tensor on the
            CPU. Smaller ones lie on larger ones.
        title: over the picture.
        axes: where to draw; a new figure if None.
        points: clicks (x, y) in pixels.
        labels: for each click 1, drawn as a plus, or 0, drawn as a cross; all are 1 if None.
        names: one for each mask, written on it; a name has one colour in every picture.

    Raises:
        ValueError: the masks are not as large as the picture.
    """
    from matplotlib.colors import to_rgba

    layers = np.asarray(masks, dtype=bool)
    layers = layers.reshape(-1, *layers.shape[-2:])
    if layers.shape[1:] != (image.height, image.width):
        size = f"{image.height} rows and {image.width} columns"
        raise ValueError(f"Masks of shape {layers.shape} do not fit a picture of {size}.")
    axes = _shown(image, title, axes)
    for number in np.argsort(-layers.sum((1, 2)), kind="stable"):
        layer = layers[number]
        colour = colour_of(names[number]) if names else PALETTE[number % len(PALETTE)]
        axes.imshow(np.where(layer[..., None], to_rgba(colour, 0.55), 0))
        if layer.any() and not layer.all():  # else there is no outline
            axes.contour(layer, [0.5], colors="white", linewidths=3.5)
            axes.contour(layer, [0.5], colors=colour, linewidths=1.8)
        if names and layer.any():
            axes.text(
                *_inmost(layer), f" {names[number]} ", color="white", fontsize=9, ha="center",
                va="center", bbox={"facecolor": colour, "edgecolor": "none", "pad": 1.5},
            )  # fmt: skip
    labels = labels if labels is not None else [1] * len(points)
    for (x, y), inside in zip(points, labels, strict=True):
        marker, colour = ("P", PALETTE[2]) if inside else ("X", PALETTE[1])
        axes.scatter(x, y, 190, colour, marker=marker, edgecolors="white", linewidths=1.6, zorder=3)
    return axes


def colour_of(label: str) -> str:
    """A label's colour: the same in every picture."""
    # 398 keeps apart what stands side by side in the course's stored pictures.
    return PALETTE[zlib.adler32(label.encode()) // 398 % len(PALETTE)]


def attention(
    image: Image.Image, weights: np.ndarray, title: str = "", axes: "Axes | None" = None
) -> "Axes":
    """Light a picture where a model looks.

    Args:
        image: the picture.
        weights: attention weights, shape (rows, columns): the grid of tokens over the picture.
        title: over the picture.
        axes: where to draw; a new figure if None.
    """
    weights = np.asarray(weights, dtype=np.float32)
    light = Image.fromarray(weights / max(weights.max(), 1e-12)).resize(
        image.size, Image.Resampling.BICUBIC
    )
    light = np.clip(np.asarray(light), 0, 1)[..., None]
    lit = (np.asarray(image) * (0.4 + 0.6 * light)).astype(np.uint8)
    return _shown(lit, title, axes)


def spectrogram(
    waveform: np.ndarray,
    sampling_rate: int,
    title: str = "",
    axes: "Axes | None" = None,
    highest: float | None = None,
) -> "Axes":
    """Draw how much of each frequency a sound holds at each moment.

    Args:
        waveform: shape (samples,).
        sampling_rate: in Hz.
        title: over the picture.
        axes: where to draw; a new figure if None.
        highest: the highest frequency shown, in Hz; half the sampling rate if None.
    """
    import matplotlib.pyplot as plt

    axes = axes if axes is not None else plt.subplots(figsize=(8, 3), layout="constrained")[1]
    # A faint hiss: silence of exactly 0 has no decibels.
    heard = waveform + np.random.default_rng(0).normal(0, 1e-6, len(waveform))
    window = min(1 << round(np.log2(sampling_rate / 30)), len(heard))  # some 32 ms
    how = {"NFFT": window, "Fs": sampling_rate, "noverlap": window * 3 // 4, "cmap": "magma"}
    loudest = max(10 * np.log10(axes.specgram(heard, **how)[0].max()), -90)
    axes.images[-1].set_clim(loudest - 80, loudest)
    axes.set(title=title, xlabel="seconds", ylabel="Hz", ylim=(0, highest or sampling_rate / 2))
    return axes


def heatmap(
    matrix: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    title: str = "",
    axes: "Axes | None" = None,
    form: str = ".2f",
) -> "Axes":
    """Draw a matrix as coloured cells with its numbers in them.

    Args:
        matrix: shape (len(rows), len(columns)).
        rows: the rows' names, from the top.
        columns: the columns' names.
        title: over the matrix.
        axes: where to draw; a new figure if None, as large as the matrix needs.
        form: how the numbers are written, as in an f-string.
    """
    import matplotlib.pyplot as plt

    matrix = np.asarray(matrix)
    if axes is None:
        size = (2 + 0.75 * len(columns), 1.2 + 0.5 * len(rows))
        axes = plt.subplots(figsize=size, layout="constrained")[1]
    axes.imshow(matrix, cmap="cividis", aspect="auto")
    axes.set_xticks(range(len(columns)), columns, rotation=30, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(rows)), rows)
    axes.set_title(title)
    axes.spines[:].set_visible(False)
    middle = (matrix.min() + matrix.max()) / 2
    for (row, column), value in np.ndenumerate(matrix):
        colour = "white" if value < middle else "black"
        axes.text(
            column, row, f"{value:{form}}", ha="center", va="center", color=colour, fontsize=9
        )
    return axes


def _inmost(mask: np.ndarray) -> tuple[int, int]:
    """The pixel (x, y) of a mask that is farthest from its edge."""
    from scipy.ndimage import distance_transform_edt

    depth = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    y, x = np.unravel_index(depth.argmax(), mask.shape)
    return int(x), int(y)


def _shown(image: Image.Image | np.ndarray, title: str, axes: "Axes | None") -> "Axes":
    import matplotlib.pyplot as plt

    axes = axes if axes is not None else plt.subplots(figsize=(5, 5), layout="constrained")[1]
    axes.imshow(image)
    axes.set(xticks=[], yticks=[], title=title)
    axes.spines[:].set_visible(False)
    return axes
