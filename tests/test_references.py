"""Pictures to go by: what is taken, what is dropped from it, and what a link says of it."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from quantlab.catalog.comparison import make_comparison
from quantlab.catalog.sizes.activations import activation_bytes
from quantlab.catalog.sizes.picture import picture_of
from quantlab.catalog.table import load_catalog
from quantlab.cli import main
from quantlab.errors import InputError, Unavailable
from quantlab.families import family_called
from quantlab.lab.references import admit_reference, file_of, keep_reference, pictures
from quantlab.record.link import from_query, to_query

KLEIN = "flux2-klein-4b"
ORIENTATION, MAKER = 0x0112, 0x010F


def photo(path: Path, size: tuple[int, int] = (60, 40), **more: object) -> Path:
    """A picture with what a camera writes beside it; it is to be turned by a quarter."""
    exif = Image.Exif()
    exif[ORIENTATION], exif[MAKER] = 6, "somebody"
    Image.new("RGB", size, "teal").save(path, exif=exif, **more)
    return path


def asked(reference: str) -> object:
    return make_comparison(model=KLEIN, plans=["bf16"], prompt="a fox", reference=reference)


def test_a_picture_is_turned_and_nothing_of_the_camera_is_kept(tmp_path: Path) -> None:
    digest = admit_reference(str(photo(tmp_path / "photo.jpg")))
    with Image.open(file_of(digest)) as kept:
        assert (kept.size, kept.mode, kept.format) == ((40, 60), "RGB", "PNG")
        assert not kept.getexif()
        assert "exif" not in kept.info
    assert b"somebody" not in file_of(digest).read_bytes()
    assert admit_reference(digest) == digest


def test_the_digest_is_of_the_pixels_alone(tmp_path: Path) -> None:
    plain = Image.new("RGBA", (40, 60), (0, 0, 255, 0))
    plain.save(tmp_path / "clear.png")
    Image.new("RGB", (40, 60), "white").save(tmp_path / "white.webp", lossless=True)
    assert admit_reference(str(tmp_path / "clear.png")) == admit_reference(
        str(tmp_path / "white.webp")
    )


@pytest.mark.parametrize(
    ("size", "form", "message"),
    [
        ((8, 40), "PNG", "each side must have 16"),
        ((400, 20), "PNG", "may be 8 times the other"),
        ((40, 40), "BMP", "is no whole picture; PNG, JPEG and WebP"),
    ],
)
def test_what_cannot_be_used_is_said(size: tuple[int, int], form: str, message: str) -> None:
    content = io.BytesIO()
    Image.new("RGB", size).save(content, form)
    with pytest.raises(InputError, match=message):
        keep_reference(content.getvalue(), "photo")


def test_what_is_cut_animated_or_not_there_is_said(tmp_path: Path) -> None:
    whole = photo(tmp_path / "photo.jpg").read_bytes()
    with pytest.raises(InputError, match="photo is no whole picture"):
        keep_reference(whole[: len(whole) // 2], "photo")
    frames = [Image.new("RGB", (40, 40), color) for color in ("red", "teal")]
    frames[0].save(tmp_path / "two.webp", save_all=True, append_images=frames[1:])
    with pytest.raises(InputError, match="has 2 frames"):
        admit_reference(str(tmp_path / "two.webp"))
    with pytest.raises(InputError, match="cannot be read: No such file"):
        admit_reference(str(tmp_path / "none.png"))


def test_a_grey_picture_of_16_bits_keeps_its_greys(tmp_path: Path) -> None:
    for name, grey in (("deep", 128 * 257), ("flat", 128)):
        mode = "I;16" if name == "deep" else "L"
        Image.new(mode, (40, 40), grey).save(tmp_path / f"{name}.png")
    deep, flat = (admit_reference(str(tmp_path / f"{name}.png")) for name in ("deep", "flat"))
    assert deep == flat


def test_a_preview_behind_a_cameras_picture_is_left_out(tmp_path: Path) -> None:
    picture, preview = Image.new("RGB", (60, 40), "teal"), Image.new("RGB", (30, 20), "red")
    picture.save(tmp_path / "one.jpg")
    picture.save(tmp_path / "two.jpg", format="MPO", save_all=True, append_images=[preview])
    one, two = (admit_reference(str(tmp_path / f"{name}.jpg")) for name in ("one", "two"))
    assert one == two


def test_what_never_ends_is_read_no_further_than_the_limit() -> None:
    with pytest.raises(InputError, match="zero is larger than 32 MiB"):
        admit_reference("/dev/zero")


def test_the_link_has_the_digest_and_says_that_the_picture_does_not_travel(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(photo(tmp_path / "photo.jpg"))
    command = ["link", "--model", KLEIN, "--plans", "bf16", "--reference", path]
    assert main(command) == 0
    said = capsys.readouterr()
    assert f"reference={admit_reference(path)}" in said.out
    assert "photo" not in said.out
    assert "the pictures to go by do not travel" in said.err
    unknown = asked("0" * 16)
    assert from_query(to_query(unknown)) == unknown
    with pytest.raises(Unavailable, match="a link carries its digest and not the picture"):
        pictures(unknown)


def test_each_picture_takes_memory() -> None:
    model = load_catalog().models[KLEIN]
    taken = [
        activation_bytes(model, "transformer", picture_of(model, references=count), 2)
        for count in range(3)
    ]
    assert 0 < taken[1] - taken[0] == taken[2] - taken[1]
    family = family_called("flux3")  # one is kept whole up to 4 megapixels, several up to one each
    assert [family.reference_tokens(count) for count in range(3)] == [0, 16_384, 8_192]
