"""How image files become pixels: found in a folder or archive, in 8 bits, upright and opaque, fitted to a size; CIFAR-10 as a whole."""

import io
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps
from real_data import data_folder, needs

from confidnet_core.datasets._file_tree import open_file_tree
from confidnet_core.datasets._images import decode_image
from confidnet_core.datasets.image_folder import image_folder

CIFAR = data_folder("cifar10-images.zip") / "cifar10-images.zip"
with_cifar = needs("CIFAR-10 as image files", "cifar10-images.zip")


def pixels(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def encoded(image: Image.Image | np.ndarray, kind: str = "PNG", **settings: object) -> bytes:
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file := io.BytesIO(), kind, **settings)
    return file.getvalue()


def values(data: bytes, mode: str = "RGB") -> np.ndarray:
    return np.asarray(decode_image(data, "a file", mode))


# Kinds of files


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "WEBP"])
def test_exact_kinds_of_files_keep_every_pixel(kind: str) -> None:
    image = pixels(5, 7, 3)
    np.testing.assert_array_equal(values(encoded(image, kind, **({"lossless": True} if kind == "WEBP" else {}))), image)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG"])
def test_an_image_is_turned_as_its_exif_data_says(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(pixels(5, 7, 3), kind, exif=exif)
    np.testing.assert_array_equal(values(data), np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data)))))
    assert values(data).shape == ((5, 7, 3) if orientation < 5 else (7, 5, 3))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # Pillow says so, and reads on
@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0rubbish that is no TIFF header", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM"])
def test_damaged_exif_data_leaves_the_image_as_it_is(exif: bytes) -> None:
    image = pixels(5, 7, 3)
    np.testing.assert_array_equal(values(encoded(image, exif=exif)), image)
    np.testing.assert_array_equal(values(encoded(image, "JPEG", exif=exif)), values(encoded(image, "JPEG")))


def test_what_is_transparent_becomes_white() -> None:
    image = np.dstack([np.full((2, 2, 3), [200, 100, 0], np.uint8), np.array([[255, 0], [128, 255]], np.uint8)])
    half = [255 + (colour - 255) * 128 / 255 for colour in (200, 100, 0)]
    expected = np.array([[[200, 100, 0], [255, 255, 255]], [half, [200, 100, 0]]])
    assert np.abs(values(encoded(image)).astype(int) - expected).max() <= 1
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putdata([0, 1])
    assert values(encoded(palette)).tolist() == [[[10, 20, 30], [40, 50, 60]]]
    assert values(encoded(palette, transparency=0)).tolist() == [[[255, 255, 255], [40, 50, 60]]]
    assert values(encoded(palette, "GIF", transparency=1)).tolist() == [[[10, 20, 30], [255, 255, 255]]]
    grey = Image.fromarray(np.array([[0, 70, 255]], np.uint8))
    assert values(encoded(grey, transparency=0), "L").tolist() == [[255, 70, 255]]


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_16_bits_become_8_by_the_nearest_value_not_by_cutting_off(kind: str) -> None:
    deep = np.array([[0, 128, 129, 257, 32896, 65534, 65535]], np.uint16)
    assert values(encoded(deep, kind), "L").tolist() == [[0, 0, 1, 1, 128, 255, 255]]
    assert values(encoded(deep, kind))[0, 4].tolist() == [128, 128, 128]


def test_grey_and_two_valued_images_have_equal_channels_and_colours_a_luma() -> None:
    grey = pixels(3, 4)
    np.testing.assert_array_equal(values(encoded(grey)), np.dstack([grey] * 3))
    assert values(encoded(np.array([[True, False]])), "L").tolist() == [[255, 0]]
    colours = pixels(9, 9, 3)
    assert np.abs(values(encoded(colours), "L") - colours @ [0.299, 0.587, 0.114]).max() <= 1  # ITU-R BT.601


def test_printing_colours_become_those_of_a_screen() -> None:
    cmyk = np.zeros((16, 16, 4), np.uint8)
    cmyk[..., 1] = cmyk[..., 2] = 255  # magenta and yellow
    found = values(encoded(Image.fromarray(cmyk, "CMYK"), "JPEG", quality=100))
    assert np.abs(found.astype(int) - [255, 0, 0]).max() <= 3


def test_the_first_frame_of_a_moving_image_is_taken() -> None:
    frames = [Image.fromarray(np.full((4, 4), value, np.uint8)) for value in (10, 200)]
    for kind in ("GIF", "PNG", "TIFF"):
        assert np.unique(values(encoded(frames[0], kind, save_all=True, append_images=frames[1:]))).tolist() == [10]


@pytest.mark.parametrize("damage", [lambda d: d[: len(d) // 2], lambda d: d[:60] + bytes(40) + d[100:], lambda d: d[:72] + b"\7" + d[73:]])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM"])
def test_a_damaged_file_is_an_error_that_names_it_or_an_image(kind: str, damage: Callable[[bytes], bytes]) -> None:
    data = damage(encoded(pixels(40, 40, 3), kind))
    try:
        assert values(data).shape == (40, 40, 3) and len(data) > 100  # bytes of pixels only: no format without a checksum sees that
    except ValueError as error:
        assert str(error).startswith("a file is damaged, or of a kind that cannot be read (")
        assert "0x" not in str(error)


# Sizes


@pytest.fixture
def fitted(tmp_path: Path) -> Callable[..., np.ndarray]:
    """The image as image_folder fits it to a size, float (height, width, channels)."""

    def fit(image: np.ndarray, height: int, width: int, **settings: object) -> np.ndarray:
        for name in ("train/a/1.png", "train/a/2.png", "train/b/1.png", "train/b/2.png", "test/b/1.png"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(encoded(image))
        data = image_folder(folder=str(tmp_path), height=height, width=width, val=1, split_seed=0, **settings)
        return data.images[0].transpose(1, 2, 0).astype(float)

    return fit


@pytest.mark.parametrize(("height", "width"), [(6, 2), (11, 8), (5, 7), (7, 3), (1, 5), (12, 5)])
def test_an_image_is_reduced_to_the_mean_of_the_area_that_a_pixel_covers(height: int, width: int, fitted: Callable) -> None:
    image = pixels(12, 8, 3)
    fine = image.repeat(height, axis=0).repeat(width, axis=1)  # each of its parts is now whole
    means = fine.reshape(height, 12, width, 8, 3).mean(axis=(1, 3))
    assert np.abs(fitted(image, height, width) - means).max() <= 0.5 + 1e-9
    assert np.abs(fitted(image[..., 0], height, width, grey=True) - means[..., :1]).max() <= 0.5 + 1e-9


def test_an_image_is_enlarged_along_straight_lines_between_its_pixels(fitted: Callable) -> None:
    image = pixels(4, 6, 3)
    rows, columns = (np.clip((np.arange(2 * size) + 0.5) / 2 - 0.5, 0, size - 1) for size in (4, 6))
    low, left = np.floor(rows).astype(int), np.floor(columns).astype(int)
    below, right = np.minimum(low + 1, 3), np.minimum(left + 1, 5)
    down, along = (rows - low)[:, None, None], (columns - left)[None, :, None]
    between = [(1 - along) * image[row][:, left] + along * image[row][:, right] for row in (low, below)]
    assert np.abs(fitted(image, 8, 12) - ((1 - down) * between[0] + down * between[1])).max() <= 1


def test_one_axis_can_be_reduced_and_the_other_enlarged(fitted: Callable) -> None:
    image = np.repeat(pixels(4, 1, 3), 8, axis=1)  # rows of one colour each
    assert np.abs(fitted(image, 2, 20) - image.reshape(2, 2, 8, 3).mean(axis=(1, 2))[:, None]).max() <= 1
    assert fitted(image, 4, 8).astype(np.uint8).tolist() == image.tolist()


def test_grey_images_have_one_channel(fitted: Callable) -> None:
    image = pixels(6, 6)
    np.testing.assert_array_equal(fitted(image, 6, 6, grey=True)[..., 0], image)
    assert fitted(image, 3, 9, grey=True).shape == (3, 9, 1)


# Archives and folders


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as target:
        for name in ("train/x.png", "train/y.png", "other/z.png"):
            target.writestr(name, name.encode() * 9)
    return tmp_path / "a.zip"


def test_a_damaged_archive_is_refused_by_archive_and_member(archive: Path) -> None:
    whole, name = archive.read_bytes(), b"train/y.png"
    start = whole.index(name) + len(name)
    archive.write_bytes(whole[: start + 5] + bytes(5) + whole[start + 10 :])
    with open_file_tree(str(archive), {"train"}) as tree:
        assert tree.read("train/x.png") == b"train/x.png" * 9
        with pytest.raises(ValueError, match=r"a.zip: train/y.png is damaged"):
            tree.read("train/y.png")
    archive.write_bytes(whole[:-200])
    with pytest.raises(ValueError, match=r"a.zip is neither a folder nor a whole .zip archive"), open_file_tree(str(archive), {"train"}):
        pass


def test_an_archive_with_a_password_is_refused(archive: Path) -> None:
    locked = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as content:
        member = content.getinfo("train/x.png")
    for place in (member.header_offset + 6, locked.index(b"PK\x01\x02") + 8):
        locked[place] |= 1  # the bit that says "encrypted", in both of the member's headers
    archive.write_bytes(locked)
    with open_file_tree(str(archive), {"train"}) as tree, pytest.raises(ValueError, match=r"x.png is damaged, or .*password required"):
        tree.read("train/x.png")


def test_a_single_outer_folder_is_entered_and_two_are_not(tmp_path: Path) -> None:
    for name in ("set/train/a.png", "set/test/b.png", "README.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    with open_file_tree(str(tmp_path), {"train"}) as tree:
        assert tree.paths == ("test/", "test/b.png", "train/", "train/a.png")
        assert tree.path_in_messages("test/b.png") == str(tmp_path / "set/test/b.png")
    (tmp_path / "again/train").mkdir(parents=True)
    with open_file_tree(str(tmp_path), {"train"}) as tree:
        assert tree.top_level_names_as_text() == "README.txt, again/, set/"


def test_links_are_followed_but_never_in_a_circle(tmp_path: Path) -> None:
    for name in ("data/train/ant/a.png", "elsewhere/b.png", "elsewhere/deep/c.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "data/train/bee").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/deep/up").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data/train/ant/up").symlink_to(tmp_path / "data")
    with open_file_tree(str(tmp_path / "data"), {"train"}) as tree:
        files = [name for name in tree.paths if not name.endswith("/")]
        assert files == ["train/ant/a.png", "train/bee/b.png", "train/bee/deep/c.png"]
        assert tree.read("train/bee/deep/c.png") == b"elsewhere/deep/c.png"


# CIFAR-10 as image files


@with_cifar
def test_part_of_cifar_is_read_from_an_archive_as_pillow_reads_its_files(tmp_path: Path) -> None:
    with zipfile.ZipFile(CIFAR) as source, zipfile.ZipFile(tmp_path / "part.zip", "w") as part:
        names = sorted(source.namelist())[::300]
        for name in names:
            part.writestr(f"cifar/{name}", source.read(name))
        files = {name: np.asarray(Image.open(io.BytesIO(source.read(name)))) for name in names}
    data = image_folder(folder=str(tmp_path / "part.zip"), height=32, width=32, val=0.1)
    names = sorted(names, key=lambda name: (name.startswith("test"), name))
    assert len(names) == 200 and data.classes[::9] == ("airplane", "truck")
    np.testing.assert_array_equal(data.images, np.stack([files[name] for name in names]).transpose(0, 3, 1, 2))
    assert [data.classes[label] for label in data.labels] == [name.split("/")[1] for name in names]


@with_cifar
@pytest.mark.slow
def test_all_60000_images_of_cifar_are_read_in_less_than_a_minute(capsys: pytest.CaptureFixture) -> None:
    start = time.perf_counter()
    data = image_folder(folder=str(CIFAR), height=32, width=32, val=0.1)
    assert time.perf_counter() - start < 60
    assert {name: len(index) for name, index in data.splits.items()} == {"train": 45000, "val": 5000, "test": 10000}
    assert np.bincount(data.split("test")[1]).tolist() == [1000] * 10
    np.testing.assert_allclose(data.mean, (0.4914, 0.4822, 0.4465), atol=2e-3)  # as published for the data set
    np.testing.assert_allclose(data.std, (0.2470, 0.2435, 0.2616), atol=2e-3)
