"""What counts as the same output in two runs, and what does not."""

import io
from base64 import b64encode

import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from outputs import WIDGET, differences, images
from PIL import Image, ImageDraw


def run(*outputs, tags=()):
    return new_notebook(
        cells=[new_code_cell("f()", outputs=[*outputs], metadata={"tags": [*tags]})]
    )


def printed(words, name="stdout"):
    return new_output("stream", name=name, text=words)


def shown(data, kind="text/plain"):
    return new_output("display_data", data={kind: data})


def picture(width, height, kind="jpeg", draw=lambda pen: None, **options):
    pen = ImageDraw.Draw(drawn := Image.new("RGB", (width, height), "white"))
    draw(pen)
    drawn.save(buffer := io.BytesIO(), kind, **options)
    return shown(b64encode(buffer.getvalue()).decode(), f"image/{kind}")


def box(*corners):
    return lambda pen: pen.rectangle(corners, outline="#0072B2", width=4)


SAME = {
    "decimals within one unit of the last": ("score 0.72", "score 0.73"),
    "decimals within one per cent": ("1234.5678", "1240.0001"),
    "powers of ten within one per cent": ("1.000e-07", "1.009e-07"),
    "signs of a zero": ("-0.00", "0.00"),
    "column widths": ("a   1.00\nb  12.00", "a     1.00\nb    12.00"),
    "an object's address": ("<F object at 0x7f01>", "<F object at 0x7fee>"),
}
OTHER = {
    "words": ("a dog", "a cat"),
    "integers": ("12 dogs", "13 dogs"),
    "decimals": ("0.72", "0.74"),
    "small numbers": ("1.0e-07", "3.0e-07"),
    "a list's length": ("[0.1, 0.2]", "[0.1, 0.2, 0.3]"),
    "a name with a digit": ("fp16", "fp32"),
    "nan": ("0.5", "nan"),
    "nothing at all": ("0.5", ""),
}


@pytest.mark.parametrize(("before", "after"), SAME.values(), ids=SAME)
def test_the_same(before, after):
    assert differences(run(printed(before)), run(printed(after))) == []


@pytest.mark.parametrize(("before", "after"), OTHER.values(), ids=OTHER)
def test_different(before, after):
    (what,) = differences(run(printed(before)), run(printed(after)))
    assert what.startswith("code cell 1: ")


def test_a_volatile_cell_is_compared_by_form():
    form = [
        printed("torch 2.13.0, 1.4 GB free, 12 s, port 8731"),
        printed("torch 3.0, 900 MB free, 0.3 s, port 1"),
    ]
    assert differences(run(form[0], tags=["volatile"]), run(form[1], tags=["volatile"])) == []
    assert differences(run(form[0]), run(form[1])) != []
    date = "until 2026-11-29, then it is gone."  # a quantity, 60 letters before what matters
    gone, left = (run(printed(f"{date} {'…' * 60} {w}"), tags=["volatile"]) for w in ("[]", "[a]"))
    later = run(printed(gone.cells[0].outputs[0].text.replace("29", "30")), tags=["volatile"])
    assert differences(gone, later) == []
    (what,) = differences(later, left)
    assert "[]" in what and "[a]" in what


def test_a_stream_may_come_in_pieces_and_a_progress_bar_may_come_or_go():
    bar = new_output("display_data", data={WIDGET: {"model_id": "1"}, "text/plain": "50%"})
    assert differences(run(printed("ab")), run(printed("a"), bar, printed("b"))) == []


def test_html_is_compared_by_its_words_and_its_media():
    table = "<style>#T_{id} {{}}</style><table id='T_{id}'><td>{words}</td>{media}</table>"
    first = table.format(id="a1", words="dog", media="<img src='1'>")
    again = table.format(id="b2", words="dog", media="<img src='2'>")
    other = table.format(id="a1", words="dog", media="")
    assert differences(run(shown(first, "text/html")), run(shown(again, "text/html"))) == []
    assert differences(run(shown(first, "text/html")), run(shown(other, "text/html"))) != []


each_kind = pytest.mark.parametrize("kind", ["png", "jpeg"])


@each_kind
def test_a_picture_is_known_by_its_kind_its_size_and_the_grey_of_its_squares(kind):
    left_half = picture(600, 400, kind, lambda pen: pen.rectangle((0, 0, 299, 399), "black"))
    (found,) = images(run(left_half).cells[0])
    assert found[:3] == (f"image/{kind}", 600, 400)
    assert len(found.thumbnail) == 16 * 16
    assert list(found.thumbnail[:16]) == pytest.approx([0] * 8 + [255] * 8, abs=2)


@each_kind
def test_pictures_are_compared_by_number_and_by_size_within_ten_per_cent(kind):
    one = picture(600, 400, kind)
    assert differences(run(one), run(picture(620, 401, kind))) == []
    for other in ([picture(700, 400, kind)], [picture(600, 300, kind)], [one, one], []):
        (what,) = differences(run(one), run(*other))
        assert what.startswith("code cell 1: pictures ")


def test_pictures_are_compared_by_kind():
    assert differences(run(picture(600, 400, "png")), run(picture(600, 400, "jpeg"))) != []


LOOKS_DIFFERENT = {
    "a box less": lambda pen: None,
    "a box elsewhere": box(300, 100, 500, 200),
    "a box of another shape": box(50, 100, 150, 300),
    "x for y": box(100, 50, 200, 250),
    "upside down": box(50, 200, 250, 300),
    "dark": lambda pen: pen.rectangle((0, 0, 600, 400), "#333333"),
}


@each_kind
@pytest.mark.parametrize("other", LOOKS_DIFFERENT.values(), ids=LOOKS_DIFFERENT)
def test_a_picture_of_the_same_size_that_looks_different_is_a_difference(kind, other):
    pair = [picture(600, 400, kind, draw) for draw in (box(50, 100, 250, 200), other)]
    (what,) = differences(run(pair[0]), run(pair[1]))
    assert what.startswith("code cell 1: picture 1 looks different")
    (what,) = differences(run(pair[0], pair[0]), run(pair[0], pair[1]))
    assert what.startswith("code cell 1: picture 2 looks different")


def test_a_pixel_and_a_little_compression_are_no_difference():
    first = picture(600, 400, draw=box(50, 100, 250, 200), quality=88)
    assert differences(run(first), run(picture(600, 400, draw=box(51, 100, 250, 201)))) == []


def test_a_volatile_picture_may_look_different_but_keeps_its_kind_and_size():
    first = run(picture(600, 400, draw=box(50, 100, 250, 200)), tags=["volatile"])
    assert differences(first, run(picture(600, 400), tags=["volatile"])) == []
    for other in (picture(700, 400), picture(600, 400, "png")):
        assert differences(first, run(other, tags=["volatile"])) != []


def test_a_vector_picture_is_compared_by_its_length():
    first, longer = ("<svg>" + "<g/>" * times + "</svg>" for times in (20, 40))
    assert differences(run(shown(first, "image/svg+xml")), run(shown(first, "image/svg+xml"))) == []
    assert differences(run(shown(first, "image/svg+xml")), run(shown(longer, "image/svg+xml")))


def test_a_cell_more_is_a_difference():
    twice = new_notebook(cells=[new_code_cell("f()"), new_code_cell("g()")])
    assert differences(run(), twice) == ["1 code cells became 2"]
