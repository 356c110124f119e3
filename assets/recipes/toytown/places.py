"""The places of Toytown: a background for each, drawn in layers at any size.

A place is drawn from a seed with numbers in [0, 1], so that the same seed gives the same place at
128 pixels (for a model) and at 512 (for people). Colours stay paler than the things in front.
"""

import math

import numpy as np
from PIL import Image, ImageDraw

SUPERSAMPLING = 2  # draw twice as large, then average: smooth edges

Colour = tuple[int, int, int]


class Pen:
    """Draws on a square picture in coordinates from 0 to 1, (0, 0) at the top left."""

    def __init__(self, size: int, rng: np.random.Generator):
        self.side = size * SUPERSAMPLING
        self.image = Image.new("RGB", (self.side, self.side))
        self.draw = ImageDraw.Draw(self.image)
        self.shift = rng.normal(0, 7, 3)  # the light of this hour
        self.random = rng.random(400).tolist()  # one draw: many small ones cost more than the rest
        self.used = 0

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """The next random number of this place."""
        self.used = (self.used + 1) % len(self.random)
        return low + (high - low) * self.random[self.used]

    def colour(self, colour: Colour, light: float = 1.0) -> Colour:
        """A colour in the light of this hour."""
        return tuple(
            max(0, min(255, round((c + s) * light)))
            for c, s in zip(colour, self.shift, strict=True)
        )

    def scaled(self, *points: tuple[float, float]) -> list[tuple[float, float]]:
        """Points from shares of the side to pixels."""
        return [(x * self.side, y * self.side) for x, y in points]

    def gradient(self, top: Colour, bottom: Colour, y0: float, y1: float) -> None:
        """A band from y0 to y1 that goes from one colour to another."""
        first, last = round(y0 * self.side), round(y1 * self.side)
        ends = np.array([self.colour(top), self.colour(bottom)], np.uint8)[:, None]
        band = Image.fromarray(ends).resize((1, last - first), Image.Resampling.BILINEAR)
        self.image.paste(band.resize((self.side, last - first)), (0, first))

    def polygon(
        self, points: list[tuple[float, float]], colour: Colour, light: float = 1.0
    ) -> None:
        """A filled polygon."""
        self.draw.polygon(self.scaled(*points), self.colour(colour, light))

    def box(self, x0: float, y0: float, x1: float, y1: float, colour: Colour, light=1.0) -> None:
        """A filled rectangle."""
        self.draw.rectangle(self.scaled((x0, y0), (x1, y1)), self.colour(colour, light))

    def disc(self, x: float, y: float, rx: float, ry: float, colour: Colour, light=1.0) -> None:
        """A filled ellipse around (x, y)."""
        self.draw.ellipse(
            self.scaled((x - rx, y - ry), (x + rx, y + ry)), self.colour(colour, light)
        )

    def line(self, points: list[tuple[float, float]], width: float, colour: Colour) -> None:
        """A line through points."""
        pixels = max(1, round(width * self.side))
        self.draw.line(self.scaled(*points), self.colour(colour), pixels, joint="curve")

    def hills(self, y: float, height: float, colour: Colour, waves: float = 1.5) -> None:
        """Everything below a wavy line."""
        a, b = self.uniform(0, 6.3), self.uniform(0, 6.3)
        crest = [
            (
                x,
                y
                + height * (math.sin(waves * 6.3 * x + a) + 0.5 * math.sin(waves * 14 * x + b)) / 2,
            )
            for x in (i / 24 for i in range(25))
        ]
        self.polygon([(0, 1), *crest, (1, 1)], colour)

    def clouds(self, count: int, colour: Colour = (252, 252, 253)) -> None:
        """A few clouds in the upper third."""
        for _ in range(count):
            x, y, r = self.uniform(), self.uniform(0.05, 0.3), self.uniform(0.025, 0.055)
            for dx, dy, k in ((-1.3, 0.25, 0.7), (0, 0, 1), (1.2, 0.2, 0.8), (2.2, 0.4, 0.5)):
                self.disc(x + dx * r, y + dy * r, 1.2 * k * r, k * r, colour)

    def specks(self, count: int, y0: float, y1: float, r: float, *colours: Colour) -> None:
        """Pebbles, flowers or snow between y0 and y1, larger when nearer."""
        for i in range(count):
            x, y = self.uniform(), self.uniform(y0, y1)
            self.disc(x, y, r * (0.5 + y), r * (0.4 + 0.5 * y), colours[i % len(colours)])

    def window(self, x: float, y: float, w: float, h: float, frame: Colour, glass: Colour) -> None:
        """A window of four panes."""
        self.box(x - 0.012, y - 0.012, x + w + 0.012, y + h + 0.012, frame)
        self.box(x, y, x + w, y + h, glass)
        self.box(x + w / 2 - 0.004, y, x + w / 2 + 0.004, y + h, frame)
        self.box(x, y + h / 2 - 0.004, x + w, y + h / 2 + 0.004, frame)


def park(pen: Pen) -> None:
    """A meadow with a path to the horizon."""
    pen.gradient((166, 212, 240), (232, 244, 246), 0, 0.55)
    pen.clouds(3)
    pen.hills(0.42, 0.06, (171, 207, 165))
    pen.hills(0.49, 0.04, (150, 195, 143), 2)
    pen.gradient((158, 205, 135), (122, 181, 106), 0.54, 1)
    pen.hills(0.53, 0.015, (142, 192, 124), 3)
    x = pen.uniform(0.2, 0.8)  # a path to the horizon
    bend = pen.uniform(-0.2, 0.2)
    left = [(x - 0.02, 0.54), (x - 0.05 + bend, 0.68), (x - 0.16, 1)]
    right = [(x + 0.16, 1), (x + 0.05 + bend, 0.68), (x + 0.02, 0.54)]
    pen.polygon(left + right, (226, 209, 170))
    pen.specks(26, 0.57, 0.99, 0.005, (250, 246, 240), (238, 205, 214), (242, 226, 150))


def street(pen: Pen) -> None:
    """A row of houses behind a pavement and a road."""
    pen.gradient((186, 215, 236), (240, 240, 232), 0, 0.6)
    pen.clouds(2)
    walls = ((225, 190, 168), (214, 205, 172), (178, 200, 206), (209, 184, 200), (192, 206, 178))
    x, i = -pen.uniform(0, 0.12), int(pen.uniform(0, 5))
    while x < 1:
        w, top, wall = pen.uniform(0.17, 0.26), pen.uniform(0.2, 0.34), walls[i % 5]
        pen.box(x, top, x + w, 0.64, wall)
        roof = [(x - 0.012, top), (x + w / 2, top - pen.uniform(0.05, 0.1)), (x + w + 0.012, top)]
        pen.polygon(roof, (160, 116, 104), 0.9 + 0.05 * (i % 4))
        for row in range(2):
            for column in (0.16, 0.58):
                pen.window(x + column * w, top + 0.05 + 0.12 * row, 0.24 * w, 0.055,
                           (247, 244, 238), (152, 184, 203))  # fmt: skip
        pen.box(x + 0.4 * w, 0.555, x + 0.58 * w, 0.64, (140, 110, 92), 0.9 + 0.08 * (i % 3))
        x, i = x + w, i + 1
    pen.box(0, 0.64, 1, 0.72, (205, 200, 194))
    pen.box(0, 0.715, 1, 0.73, (172, 167, 161))
    pen.gradient((132, 134, 140), (112, 114, 121), 0.73, 1)
    for k in range(6):
        x = k * 0.2 + pen.uniform(0, 0.02)
        pen.polygon([(x, 0.85), (x + 0.1, 0.85), (x + 0.095, 0.865), (x - 0.005, 0.865)],
                    (226, 224, 214))  # fmt: skip


def sea(pen: Pen) -> None:
    """Water up to the horizon, and a beach in front."""
    pen.gradient((150, 203, 236), (246, 236, 216), 0, 0.42)
    pen.clouds(2)
    x = pen.uniform(0.1, 0.8)
    pen.disc(x, 0.42, pen.uniform(0.1, 0.2), 0.05, (150, 180, 172))  # an island
    pen.gradient((98, 170, 196), (140, 203, 208), 0.41, 0.73)
    for _ in range(14):
        x, y = pen.uniform(), pen.uniform(0.44, 0.7)
        w = 0.03 + 0.1 * (y - 0.4)
        pen.line([(x - w, y), (x, y - 0.006), (x + w, y)], 0.004, (196, 227, 229))
    pen.hills(0.72, 0.015, (236, 246, 243), 1)
    pen.hills(0.735, 0.015, (238, 220, 178), 1)
    pen.specks(24, 0.78, 1, 0.006, (222, 199, 155), (248, 238, 214), (226, 196, 176))


def kitchen(pen: Pen) -> None:
    """Tiles, a worktop with cupboards, a chequered floor."""
    wall = ((238, 230, 212), (220, 231, 224), (236, 222, 216))[int(pen.uniform(0, 3))]
    pen.box(0, 0, 1, 0.6, wall)
    for k in range(1, 12):
        pen.line([(k / 12, 0.3), (k / 12, 0.56)], 0.003, (214, 208, 196))
    for k in range(4):
        pen.line([(0, 0.3 + 0.085 * k), (1, 0.3 + 0.085 * k)], 0.003, (214, 208, 196))
    x = pen.uniform(0.08, 0.6)
    pen.window(x, 0.07, 0.3, 0.2, (250, 248, 243), (184, 218, 238))
    shelf = (x + 0.45) % 0.75
    pen.box(shelf, 0.2, shelf + 0.22, 0.22, (186, 150, 116))
    for k in range(4):
        pen.box(shelf + 0.02 + 0.05 * k, 0.15, shelf + 0.05 + 0.05 * k, 0.2, (196, 204, 206),
                0.85 + 0.1 * (k % 3))  # fmt: skip
    pen.box(0, 0.55, 1, 0.585, (166, 133, 106))
    front = ((172, 190, 196), (206, 196, 176), (178, 196, 174))[int(pen.uniform(0, 3))]
    pen.box(0, 0.585, 1, 0.7, front)
    for k in range(5):
        pen.line([(k / 4 - 0.002, 0.59), (k / 4 - 0.002, 0.7)], 0.004, (140, 150, 150))
        pen.disc(k / 4 + 0.2, 0.63, 0.01, 0.01, (120, 124, 126))
    pen.gradient((222, 210, 194), (204, 189, 170), 0.7, 1)
    for row in range(3):
        for column in range(7):
            if (row + column) % 2:
                y, w = 0.7 + 0.1 * row, 1 / 6
                pen.box((column - 0.5) * w, y, (column + 0.5) * w, y + 0.1, (196, 178, 156))


def farm(pen: Pen) -> None:
    """A barn, a fence and a ploughed field."""
    pen.gradient((176, 214, 238), (247, 238, 214), 0, 0.5)
    pen.clouds(2)
    pen.hills(0.42, 0.05, (190, 204, 140))
    pen.hills(0.47, 0.03, (168, 192, 122), 2)
    x = pen.uniform(0.08, 0.62)
    pen.box(x, 0.33, x + 0.26, 0.52, (178, 106, 94))
    pen.polygon([(x - 0.03, 0.34), (x + 0.05, 0.24), (x + 0.21, 0.24), (x + 0.29, 0.34)],
                (126, 96, 92))  # fmt: skip
    pen.box(x + 0.09, 0.41, x + 0.17, 0.52, (236, 226, 212))
    pen.line([(x + 0.09, 0.41), (x + 0.17, 0.52)], 0.006, (178, 106, 94))
    pen.line([(x + 0.17, 0.41), (x + 0.09, 0.52)], 0.006, (178, 106, 94))
    pen.gradient((190, 204, 132), (150, 176, 98), 0.52, 1)
    x = pen.uniform(0.3, 0.7)
    for k in range(-6, 7):  # furrows that meet at the horizon
        pen.line([(x + 0.05 * k, 0.53), (x + 0.28 * k, 1)], 0.004, (168, 178, 104))
    for k in range(9):
        pen.box(k / 8 - 0.008, 0.5, k / 8 + 0.008, 0.58, (214, 194, 162))
    pen.box(0, 0.515, 1, 0.527, (214, 194, 162))
    pen.box(0, 0.548, 1, 0.56, (214, 194, 162))


def forest(pen: Pen) -> None:
    """Rows of firs in the mist, and moss."""
    pen.gradient((206, 226, 214), (232, 238, 222), 0, 0.65)
    for layer, colour in enumerate(((168, 194, 180), (132, 168, 148), (100, 142, 118))):
        for k in range(7):
            x = k / 6 + pen.uniform(-0.08, 0.08)
            h = pen.uniform(0.3, 0.46) + 0.03 * layer
            for part in range(3):
                top, w = 0.62 - h + part * h * 0.26, (0.045 + 0.025 * part) * (1 + 0.25 * layer)
                pen.polygon([(x, top), (x + w, top + h * 0.42), (x - w, top + h * 0.42)], colour)
    pen.hills(0.56, 0.02, (128, 150, 100), 2)
    pen.gradient((132, 152, 100), (104, 124, 80), 0.61, 1)
    pen.specks(30, 0.63, 0.99, 0.007, (116, 134, 86), (150, 160, 106), (158, 136, 98))


def mountains(pen: Pen) -> None:
    """Snow-capped peaks above a field of snow."""
    pen.gradient((140, 188, 226), (232, 240, 246), 0, 0.6)
    pen.clouds(1)
    for layer, colour in enumerate(((156, 172, 194), (124, 144, 170))):
        for k in range(4):
            x = k / 3 + pen.uniform(-0.12, 0.12)
            top, w = pen.uniform(0.14, 0.3) + 0.08 * layer, pen.uniform(0.2, 0.3)
            slope = (0.64 - top) / w
            pen.polygon([(x, top), (x + w, 0.64), (x - w, 0.64)], colour)
            cap = pen.uniform(0.25, 0.4) * w  # the snow ends in a zigzag
            zigzag = [(x + cap * t, top + cap * slope * (1 - 0.35 * (i % 2)))
                      for i, t in enumerate((1, 0.5, 0, -0.5, -1))]  # fmt: skip
            zigzag[0], zigzag[-1] = (x + cap, top + cap * slope), (x - cap, top + cap * slope)
            pen.polygon([(x, top), *zigzag], (246, 249, 252))
    pen.hills(0.62, 0.03, (222, 232, 242))
    pen.hills(0.7, 0.04, (234, 241, 247), 0.8)
    pen.hills(0.84, 0.03, (243, 247, 250), 0.6)
    pen.specks(26, 0.05, 0.95, 0.005, (255, 255, 255))


def desert(pen: Pen) -> None:
    """Dunes and a table mountain under a low sun."""
    pen.gradient((246, 206, 160), (250, 232, 196), 0, 0.6)
    pen.disc(pen.uniform(0.15, 0.85), 0.2, 0.09, 0.09, (255, 240, 206))
    x = pen.uniform(0.05, 0.7)
    pen.polygon([(x, 0.5), (x + 0.04, 0.33), (x + 0.2, 0.33), (x + 0.25, 0.5)], (206, 148, 116))
    pen.polygon([(x + 0.04, 0.33), (x + 0.2, 0.33), (x + 0.205, 0.35), (x + 0.035, 0.35)],
                (224, 170, 134))  # fmt: skip
    pen.hills(0.48, 0.04, (230, 184, 128))
    pen.hills(0.58, 0.06, (238, 199, 142), 0.9)
    pen.hills(0.74, 0.06, (244, 212, 158), 0.7)
    pen.specks(18, 0.62, 0.98, 0.007, (214, 170, 118), (250, 226, 180))


def bedroom(pen: Pen) -> None:
    """Striped wallpaper, a window, a rug on the boards."""
    paper = ((214, 222, 236), (236, 220, 226), (222, 232, 216), (238, 228, 206))
    wall = paper[int(pen.uniform(0, 4))]
    pen.box(0, 0, 1, 0.62, wall)
    for k in range(10):
        pen.box(k / 10, 0, k / 10 + 0.05, 0.62, wall, 0.97)
    x = pen.uniform(0.06, 0.3)
    pen.window(x, 0.1, 0.26, 0.26, (250, 248, 244), (176, 208, 234))
    curtain = (214, 178, 170)
    pen.polygon([(x - 0.06, 0.06), (x + 0.05, 0.06), (x - 0.03, 0.44), (x - 0.07, 0.44)], curtain)
    pen.polygon([(x + 0.32, 0.06), (x + 0.21, 0.06), (x + 0.29, 0.44), (x + 0.33, 0.44)], curtain)
    x = pen.uniform(0.62, 0.76)
    pen.box(x, 0.16, x + 0.18, 0.32, (190, 160, 124))
    pen.box(x + 0.015, 0.175, x + 0.165, 0.305, (206, 226, 232))
    pen.polygon([(x + 0.015, 0.305), (x + 0.07, 0.22), (x + 0.12, 0.27), (x + 0.165, 0.24),
                 (x + 0.165, 0.305)], (164, 190, 160))  # fmt: skip
    pen.box(0, 0.6, 1, 0.63, (246, 243, 238))
    pen.gradient((206, 176, 142), (188, 156, 122), 0.63, 1)
    for k in range(1, 6):
        pen.line([(0, 0.63 + 0.065 * k), (1, 0.63 + 0.065 * k)], 0.003, (176, 146, 114))
    rug = ((196, 150, 150), (150, 172, 192), (176, 186, 150))[int(pen.uniform(0, 3))]
    x = pen.uniform(0.35, 0.65)
    pen.disc(x, 0.83, 0.36, 0.1, rug)
    pen.disc(x, 0.83, 0.31, 0.08, rug, 1.12)
    pen.disc(x, 0.83, 0.25, 0.06, rug)


def square(pen: Pen) -> None:
    """The town square at night, with lit windows and lamps."""
    pen.gradient((38, 48, 92), (98, 100, 148), 0, 0.6)
    for _ in range(40):
        x, y, r = pen.uniform(), pen.uniform(0, 0.4), pen.uniform(0.001, 0.0035)
        pen.disc(x, y, r, r, (236, 236, 220))
    x, i = -pen.uniform(0, 0.1), 0
    while x < 1:
        w, top = pen.uniform(0.14, 0.22), pen.uniform(0.26, 0.42)
        pen.box(x, top, x + w, 0.62, (62, 62, 104), 0.9 + 0.1 * (i % 3))
        pen.polygon([(x - 0.01, top), (x + w / 2, top - 0.08), (x + w + 0.01, top)], (52, 50, 88))
        for row in range(2):
            for column in (0.2, 0.6):
                lit = (246, 214, 132) if pen.uniform() < 0.55 else (84, 88, 130)
                y = top + 0.04 + 0.1 * row
                pen.box(x + column * w, y, x + (column + 0.2) * w, y + 0.045, lit)
        x, i = x + w, i + 1
    pen.gradient((88, 88, 124), (112, 108, 140), 0.62, 1)
    for row in range(6):
        for column in range(9):
            x = (column + 0.5 * (row % 2)) / 8
            light = pen.uniform(0.9, 1.12)
            y = 0.655 + 0.062 * row
            pen.disc(x, y, 0.05, 0.022, (104, 102, 136), light)
    for x in (pen.uniform(0.05, 0.25), pen.uniform(0.75, 0.95)):
        pen.disc(x, 0.665, 0.14, 0.03, (164, 148, 138))
        pen.line([(x, 0.34), (x, 0.66)], 0.012, (44, 42, 66))
        pen.disc(x, 0.33, 0.05, 0.05, (150, 138, 138))
        pen.disc(x, 0.33, 0.026, 0.026, (252, 232, 170))


PAINTERS = {
    painter.__name__: painter
    for painter in (park, street, sea, kitchen, farm, forest, mountains, desert, bedroom, square)
}


def paint(place: str, seed: int, size: int) -> Image.Image:
    """Draw a place. `size`: the picture's side in pixels. Returns an RGB picture."""
    pen = Pen(size, np.random.default_rng(seed))
    PAINTERS[place](pen)
    return pen.image.reduce(SUPERSAMPLING)
