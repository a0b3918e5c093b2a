"""A second run decodes nothing, and whatever happens to the folder, pixels and ids are those without a cache."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL
import pytest
from PIL import Image, ImageFile

from robustcheck import ImageSet, RobustcheckError, RobustnessWarning
from robustcheck import atomic_io as whole_files
from robustcheck.images import PixelCache, cached, contents, open_images
from robustcheck.images import shelf as shelf_module
from robustcheck.images.cache_folder import IN_USE
from robustcheck.models.preprocessing import Preprocessing

COUNT = 12
RULE = Preprocessing.for_size(8)


@pytest.fixture
def folder(write_image, tmp_path):
    """Twelve small images in three classes."""
    for index in range(COUNT):
        write_image(f"set/{'abc'[index % 3]}/{index:02}.png", seed=index)
    return tmp_path / "set"


@pytest.fixture
def place(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def decoded(monkeypatch):
    """The images that were decoded on their way into a cache, by what errors call them."""
    names, decode = [], cached.decode

    def counted(source, rule, name):
        names.append(Path(name).name)
        return decode(source, rule, name)

    monkeypatch.setattr(cached, "decode", counted)
    return names


@pytest.fixture
def settled(monkeypatch):
    """Files that were written just now are trusted as if they were there for long."""
    monkeypatch.setattr(contents, "_SETTLED", -(10**18))


def run(folder, place, rule=RULE, **options):
    """What a run with a cache gets of a folder: ids, and pixels."""
    cache = PixelCache(place, **options)
    images = open_images(folder, size=rule).through(cache)
    pixels = everything(images)
    cache.flush()
    return images.ids, pixels


def everything(images):
    return np.concatenate([batch.pixels.numpy() for batch in images.batches(5)])


def without(folder, rule=RULE):
    images = open_images(folder, size=rule)
    return images.ids, everything(images)


def same(one, other):
    np.testing.assert_array_equal(one[1], other[1])
    return one[0] == other[0]


def shards(place):
    return sorted(place.glob("pixels/*/*.shard"))


# ------------------------------------------------------------------------------- what is found again


def test_a_second_run_decodes_nothing_and_gets_the_same(folder, place, decoded):
    assert same(run(folder, place), without(folder))
    assert len(decoded) == COUNT
    assert same(run(folder, place), without(folder))
    assert len(decoded) == COUNT


@pytest.mark.usefixtures("settled")
def test_a_second_run_opens_no_image_file(folder, place, monkeypatch):
    run(folder, place)
    monkeypatch.setattr(contents, "read", lambda path: pytest.fail(f"{path} was read"))
    assert same(run(folder, place), without(folder))


@pytest.mark.usefixtures("settled")
def test_ids_are_known_without_the_pixels(folder, place, monkeypatch):
    run(folder, place)
    images = open_images(folder, size=RULE).through(PixelCache(place))
    monkeypatch.setattr(shelf_module, "image_id", lambda _: pytest.fail("pixels were looked at"))
    monkeypatch.setattr(contents, "read", lambda path: pytest.fail(f"{path} was read"))
    assert images.ids == without(folder)[0]
    assert images.fingerprint == open_images(folder, size=RULE).fingerprint


def test_a_second_pass_of_the_first_run_decodes_nothing(folder, place, decoded):
    images = open_images(folder, size=RULE).through(PixelCache(place))
    np.testing.assert_array_equal(everything(images), everything(images))
    assert len(decoded) == COUNT


def test_photographs_come_out_as_they_were_decoded(photographs, place, decoded):
    rule = Preprocessing.for_size(64, interpolation="bilinear", antialias=False)
    assert same(run(photographs, place, rule), without(photographs, rule))
    assert same(run(photographs, place, rule), without(photographs, rule))
    assert len(decoded) == 4


def test_files_that_moved_are_read_and_not_decoded(folder, place, decoded):
    run(folder, place)
    moved = folder.rename(folder.with_name("moved"))
    os.utime(moved / "a" / "00.png", (1, 1))
    assert same(run(moved, place), without(moved))
    assert len(decoded) == COUNT


def test_two_files_of_the_same_contents_are_kept_once(write_image, tmp_path, place):
    for name in ("one.png", "two.png"):
        write_image(f"set/{name}", seed=1)
    run(tmp_path / "set", place)
    (shard,) = shards(place)
    assert shard.stat().st_size < 2 * 8 * 8 * 3


@pytest.mark.parametrize(
    "rule",
    [
        replace(RULE, input_size=(6, 8)),
        replace(RULE, resize=8),
        replace(RULE, resize=(9, 9)),
        replace(RULE, interpolation="bilinear"),
        replace(RULE, antialias=False),
    ],
)
def test_another_geometry_decodes_again(folder, place, decoded, rule):
    run(folder, place)
    assert same(run(folder, place, rule), without(folder, rule))
    assert len(decoded) == 2 * COUNT
    assert same(run(folder, place), without(folder))
    assert len(decoded) == 2 * COUNT


def test_another_normalisation_does_not(folder, place, decoded):
    run(folder, place)
    run(folder, place, replace(RULE, mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2)))
    assert len(decoded) == COUNT


@pytest.mark.parametrize(
    ("where", "name", "value"),
    [
        (PIL, "__version__", "99.0"),
        (ImageFile, "LOAD_TRUNCATED_IMAGES", True),
        (Image, "MAX_IMAGE_PIXELS", 10**6),
    ],
)
def test_what_may_decode_otherwise_decodes_again(folder, place, decoded, monkeypatch, where, name, value):
    run(folder, place)
    monkeypatch.setattr(where, name, value)
    run(folder, place)
    assert len(decoded) == 2 * COUNT


def test_a_part_of_a_set_finds_what_the_whole_left(folder, place, decoded):
    run(folder, place)
    images = open_images(folder, size=RULE, limit=5, seed=3).through(PixelCache(place))
    assert images.ids == open_images(folder, size=RULE, limit=5, seed=3).ids
    assert len(decoded) == COUNT


def test_tables_and_datasets_share_what_is_decoded(folder, place, decoded, tmp_path):
    datasets = pytest.importorskip("datasets")
    paths = sorted(folder.glob("*/*.png"))
    (tmp_path / "list.csv").write_text("path\n" + "\n".join(map(str, paths)))
    rows = [{"bytes": path.read_bytes(), "path": None} for path in paths]
    datasets.Dataset.from_dict(
        {"image": rows}, features=datasets.Features({"image": datasets.Image()})
    ).save_to_disk(str(tmp_path / "saved"))
    expected = without(folder)
    for spec in (folder, tmp_path / "list.csv", f"hf:{tmp_path / 'saved'}"):
        assert same(run(spec, place), expected)
    assert len(decoded) == COUNT


def test_images_in_memory_are_left_alone(place):
    images = ImageSet.from_arrays(np.zeros((3, 3, 8, 8), np.uint8))
    cache = PixelCache(place)
    assert images.through(cache).ids == images.ids
    cache.flush()
    assert not shards(place)


def test_what_was_not_flushed_is_written_when_the_cache_is_let_go(folder, place, decoded):
    everything(open_images(folder, size=RULE).through(PixelCache(place)))
    assert shards(place)
    run(folder, place)
    assert len(decoded) == COUNT


# --------------------------------------------------------------------------------- files that change


@pytest.mark.usefixtures("settled")
def test_a_changed_file_is_decoded_again_though_size_and_time_are_the_same(folder, place, decoded):
    path = folder / "a" / "00.png"
    Image.fromarray(np.zeros((16, 20, 3), np.uint8)).save(path.with_suffix(".bmp"))
    before = path.with_suffix(".bmp").stat()
    run(folder, place)
    Image.fromarray(np.full((16, 20, 3), 200, np.uint8)).save(path.with_suffix(".bmp"))
    os.utime(path.with_suffix(".bmp"), ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.with_suffix(".bmp").stat().st_size == before.st_size
    assert same(run(folder, place), without(folder))
    assert decoded[COUNT + 1 :] == ["00.bmp"]


def test_a_file_that_was_written_just_now_gets_no_mark(write_image, monkeypatch):
    path = write_image("a.png")
    assert contents.read(path).mark is None
    later = time.time_ns() + 3_000_000_000
    monkeypatch.setattr(time, "time_ns", lambda: later)
    assert contents.read(path).mark == contents.mark_of(path)


@pytest.mark.usefixtures("settled")
def test_a_file_that_changes_while_it_is_read_gets_no_mark(write_image, monkeypatch):
    path, fstat = write_image("a.png"), os.fstat
    assert contents.read(path).mark is not None
    answers = []

    def changing(descriptor):
        answers.append(fstat(descriptor))
        with path.open("ab") as file:
            file.write(b"more")
        return answers[-1]

    monkeypatch.setattr(os, "fstat", changing)
    assert contents.read(path).mark is None
    assert len(answers) == 2


def test_a_file_that_changes_in_a_run_is_an_error_as_without_a_cache(folder, place, write_image):
    images = open_images(folder, size=RULE).through(PixelCache(place))
    everything(images)
    write_image("set/a/00.png", seed=99)
    with pytest.raises(RobustcheckError, match=r"'a/00.png' is not what it was"):
        everything(images)


@pytest.mark.usefixtures("settled")
def test_verifying_finds_what_the_file_system_does_not_show(folder, place, monkeypatch, write_image):
    monkeypatch.setattr(contents, "_mark", lambda path, _: contents.key_of(str(path).encode()))
    old = run(folder, place)
    write_image("set/a/00.png", seed=99)
    assert same(run(folder, place), old)  # it is what size, inode and times are trusted for
    with pytest.warns(RobustnessWarning, match=r"a/00.png was written to, and neither its size"):
        assert same(run(folder, place, verify=True), without(folder))
    assert same(run(folder, place), without(folder))


@pytest.mark.usefixtures("settled")
def test_checkouts_leave_no_heap_of_marks(folder, place, decoded):
    for time_of_checkout in range(1, 15):
        for path in folder.glob("*/*.png"):
            os.utime(path, (time_of_checkout, time_of_checkout))
        run(folder, place)
    assert len(decoded) == COUNT
    assert len(shards(place)) == 1 + 8


# --------------------------------------------------------------------------------------- bad images


def test_bad_images_are_told_as_without_a_cache(folder, place):
    (folder / "a" / "bad.png").write_bytes(b"no image")
    (folder / "b" / "gone.png").symlink_to("nowhere")
    told = []
    for images in (open_images(folder, size=RULE), open_images(folder, size=RULE).through(PixelCache(place))):
        with pytest.raises(RobustcheckError, match="2 of 14 images") as caught:
            everything(images)
        told.append(str(caught.value))
    assert told[0] == told[1]


def test_leaving_out_bad_images_decodes_only_those_again(folder, place, decoded):
    (folder / "a" / "bad.png").write_bytes(b"no image")
    for _ in range(2):
        cache = PixelCache(place)
        images = open_images(folder, size=RULE).through(cache).readable()
        assert len(images) == COUNT
        assert images.skipped == (
            "a/bad.png cannot be decoded: Pillow finds no image in it (it begins with b'no image')",
        )
        everything(images)
        cache.flush()
    assert decoded.count("bad.png") == 2
    assert len(decoded) == COUNT + 2


# ------------------------------------------------------------------------------- several at one time

ANOTHER = """
import sys
from robustcheck.images import PixelCache, open_images, shelf
shelf._SHARD_SIZE = 5 * 8 * 8 * 3
images = open_images(sys.argv[1], size=8).through(PixelCache(sys.argv[2]))
for batch in images.batches(2):
    pass
print(*images.ids)
"""


def another_process(*arguments, code=ANOTHER):
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, text=True
    )


def test_two_processes_at_once_get_the_same_and_write_each_image_once(folder, place, decoded):
    running = [another_process(folder, place) for _ in range(2)]
    expected = " ".join(without(folder)[0])
    assert [process.communicate(timeout=120)[0].strip() for process in running] == [expected] * 2
    assert not any(process.returncode for process in running)
    stored = sum(path.stat().st_size // (8 * 8 * 3) for path in shards(place))
    assert COUNT <= stored < 2 * COUNT
    assert same(run(folder, place), without(folder))
    assert not decoded


def test_a_process_finds_what_another_wrote_while_it_ran(folder, place, decoded):
    late = open_images(folder, size=RULE).through(PixelCache(place))
    next(late.batches(1))
    del decoded[:]
    run(folder, place)
    decoded_by_the_other = len(decoded)
    everything(late)
    assert len(decoded) == decoded_by_the_other


def test_threads_at_once_get_the_same(folder, place):
    cache = PixelCache(place, limit=8 * 3 * 8 * 8 * 3)  # a file for every three images
    images = open_images(folder, size=RULE).through(cache)
    expected = without(folder)[1]
    with ThreadPoolExecutor(6) as pool:
        for pixels in pool.map(lambda _: everything(images), range(12)):
            np.testing.assert_array_equal(pixels, expected)


KILLED = ANOTHER.replace(
    "shelf._SHARD_SIZE",
    "import os, time; os.fsync = lambda _: (print('writing', flush=True), time.sleep(99))\n"
    "shelf.Shelf._describe = lambda _: None\n"
    "shelf._SHARD_SIZE",
)


@pytest.mark.skipif(sys.platform == "win32", reason="no such signal there")
def test_a_process_killed_while_writing_leaves_nothing_that_is_read(folder, place, decoded):
    PixelCache(place)
    process = another_process(folder, place, code=KILLED)
    assert process.stdout.readline() == "writing\n"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    (part,) = [path for path in place.glob("pixels/*/.*.part") if ".shard" in path.name]
    assert not shards(place)
    assert same(run(folder, place), without(folder))
    assert part.exists()  # it might be of a process that is still at it
    os.utime(part, (1, 1))
    assert same(run(folder, place), without(folder))
    assert len(decoded) == COUNT
    assert not part.exists()


# ---------------------------------------------------------------------------------- a damaged folder


def damage(path, at):
    whole = bytearray(path.read_bytes())
    whole[at] ^= 1
    path.write_bytes(whole)


@pytest.mark.parametrize("at", [3 * 8 * 8 * 3, -60, -8, -50], ids=["pixels", "table", "digest", "end"])
def test_a_damaged_file_is_said_thrown_away_and_its_images_decoded_again(folder, place, decoded, at):
    run(folder, place)
    damage(shards(place)[0], at)
    with pytest.warns(RobustnessWarning, match=r"shard is damaged and is used no more: ") as warned:
        assert same(run(folder, place), without(folder))
    assert len(warned) == 1
    assert len(decoded) > COUNT
    del decoded[:]
    assert same(run(folder, place), without(folder))
    assert not decoded


def test_a_file_that_was_cut_off_is_damaged(folder, place):
    run(folder, place)
    os.truncate(shards(place)[0], 1000)
    with pytest.warns(RobustnessWarning, match="cut off"):
        assert same(run(folder, place), without(folder))


def test_files_deleted_under_a_run_do_not_stop_it(folder, place):
    run(folder, place)
    images = open_images(folder, size=RULE).through(PixelCache(place))
    first = everything(images)
    for path in shards(place):
        path.unlink()
    np.testing.assert_array_equal(everything(images), first)
    assert same(run(folder, place), without(folder))


def full(_):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_said_once_and_images_are_decoded(folder, place, monkeypatch):
    monkeypatch.setattr(shelf_module, "_SHARD_SIZE", 1)
    cache = PixelCache(place)
    monkeypatch.setattr(os, "fsync", full)
    images = open_images(folder, size=RULE).through(cache)
    with pytest.warns(RobustnessWarning, match=r"No space left on device.* is decoded in each run") as warned:
        pixels = everything(images)
    cache.flush()
    np.testing.assert_array_equal(pixels, without(folder)[1])
    assert len(warned) == 1
    assert not [path for path in place.rglob("*") if path.suffix in (".part", ".shard")]
    assert cache.decoded == COUNT


def test_a_folder_that_may_not_be_written_to_is_read(folder, place, decoded, write_image, monkeypatch):
    run(folder, place)

    def refuse(*_, **__):  # root may write everywhere, so the system's answer is put in its place
        raise PermissionError(errno.EACCES, "Permission denied")

    for name in ("open", "utime", "mkdir"):
        monkeypatch.setattr(whole_files.os, name, refuse)
    assert same(run(folder, place), without(folder))
    monkeypatch.undo()
    write_image("set/a/new.png")
    monkeypatch.setattr(whole_files.os, "open", refuse)
    with pytest.warns(RobustnessWarning, match=r"Permission denied.* is decoded in each run"):
        assert same(run(folder, place), without(folder))


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        RobustcheckError, match=r"cache folder .*/file can't be made.*--robustcheck-cache-dir=DIR"
    ):
        PixelCache(tmp_path / "file")


@pytest.mark.skipif(sys.platform != "linux", reason="told by Linux's /proc")
def test_memory_does_not_grow_with_what_is_read(folder, place, monkeypatch):
    rule = Preprocessing.for_size(128)
    run(folder, place, rule)
    monkeypatch.setattr(shelf_module, "_SHARD_SIZE", 128 * 128 * 3)
    images = open_images(folder, size=rule).through(PixelCache(place))
    expected = without(folder, rule)[1]
    for position in range(COUNT):
        np.testing.assert_array_equal(images._source.load(position)[0], expected[position])
    assert mapped_memory(place) < COUNT * 128 * 128 * 3 / 2


def mapped_memory(place):
    """Bytes of the cache's files that count as this process's memory."""
    sections = Path("/proc/self/smaps").read_text().split(str(place))[1:]
    assert sections
    return sum(1024 * int(section.partition("Rss:")[2].split()[0]) for section in sections)


# ------------------------------------------------------------------------------------- a size limit

A_SHARD = 5 * (8 * 8 * 3 + 24) + 56


def fill(place, tmp_path, write_image, name, limit):
    for index in range(5):
        write_image(f"{name}/{index}.png", seed=sum(map(ord, name)) * 10 + index)
    cache = PixelCache(place, limit=limit)
    images = open_images(tmp_path / name, size=RULE).through(cache)
    everything(images)
    cache.flush()
    return cache


@pytest.fixture
def in_one_file(monkeypatch):
    """Images are gathered however small the limit is, and no marks of files are kept."""
    monkeypatch.setattr(shelf_module.Shelf, "_enough", lambda *_: False)
    monkeypatch.setattr(shelf_module.Shelf, "note", lambda *_: True)


@pytest.mark.usefixtures("in_one_file")
def test_what_was_not_used_for_longest_makes_way(tmp_path, place, write_image):
    limit = 3 * A_SHARD
    for age, name in ((3000, "first"), (2000, "second"), (1000, "third")):
        fill(place, tmp_path, write_image, name, limit)
        newest = max(shards(place), key=lambda path: path.stat().st_mtime)
        os.utime(newest, (time.time() - age, time.time() - age))
    first, second, third = shards(place)
    fill(place, tmp_path, write_image, "first", limit)  # it is used, and no longer the oldest
    fill(place, tmp_path, write_image, "fourth", limit)
    assert len(shards(place)) == 3
    assert first in shards(place)
    assert second not in shards(place)
    assert third in shards(place)


@pytest.mark.usefixtures("in_one_file")
def test_what_is_in_use_stays_and_that_the_folder_is_full_is_said(tmp_path, place, write_image):
    fill(place, tmp_path, write_image, "first", 2 * A_SHARD)
    fill(place, tmp_path, write_image, "second", 2 * A_SHARD)
    before = shards(place)
    with pytest.warns(RobustnessWarning, match=r"it is full: .*--robustcheck-cache-size=SIZE gives it more"):
        fill(place, tmp_path, write_image, "third", 2 * A_SHARD)
    assert shards(place) == before


@pytest.mark.usefixtures("in_one_file")
def test_a_limit_that_was_lowered_is_kept_to(tmp_path, place, write_image):
    for name in ("first", "second", "third"):
        fill(place, tmp_path, write_image, name, 9 * A_SHARD)
    for path in shards(place):
        os.utime(path, (time.time() - 2 * IN_USE, time.time() - 2 * IN_USE))
    PixelCache(place, limit=2 * A_SHARD).flush()
    assert len(shards(place)) == 2


def test_a_limit_of_nothing_is_refused(place):
    with pytest.raises(RobustcheckError, match="limit of a pixel cache is 0 bytes"):
        PixelCache(place, limit=0)


def test_the_folder_says_what_it_is(folder, place):
    run(folder, place)
    assert (
        (place / "pixels" / "CACHEDIR.TAG")
        .read_text()
        .startswith("Signature: 8a477f597d28d172789f06886806bc55")
    )
    assert (place / "pixels" / ".gitignore").read_text() == "*\n"
    (about,) = place.glob("pixels/8x8-*/about.json")
    assert f'"Pillow": "{PIL.__version__}"' in about.read_text()
