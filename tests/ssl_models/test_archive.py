"""Archives that hold more than they promise, or what is no file."""

import contextlib
import gzip
import io
import tarfile
import tracemalloc
import zipfile

import pytest

from ssl_models.datasets import cifar10, leeds
from ssl_models.datasets._common import archive, files
from ssl_models.datasets._common.split import OTHER, LeftOut
from tests.ssl_models.test_cifar10 import png


def pack(path, *members, mode="w:gz", content=b"x"):
    """Members by name, or as tarfile describes them."""
    with tarfile.open(path, mode) as packed:
        for member in members:
            info = member if isinstance(member, tarfile.TarInfo) else tarfile.TarInfo(member)
            info.size = info.size if isinstance(member, tarfile.TarInfo) else len(content)
            packed.addfile(info, io.BytesIO(content) if info.isreg() else None)
    return path


def zeros(path, size, *after):
    """A small archive of a member of so many zeros, and more members after it."""
    with gzip.open(path, "wb", compresslevel=9) as stream:
        head = tarfile.TarInfo("a.png")
        head.size = size
        stream.write(head.tobuf())
        for _ in range(size // 2**20):
            stream.write(bytes(2**20))
        for name in after:
            stream.write(tarfile.TarInfo(name).tobuf())
        stream.write(bytes(1024))
    return path


def read(path, wanted=lambda _: True):
    skipped = []
    return list(archive.members(path, wanted, skipped)), skipped


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_each_packing_is_read(tmp_path, mode):
    found, skipped = read(pack(tmp_path / "a.tar", "a.png", "b.png", mode=mode))
    assert found == [("a.png", b"x"), ("b.png", b"x")]
    assert skipped == []


@pytest.mark.parametrize("wanted", [True, False])
def test_an_archive_that_unpacks_to_far_more_than_its_size_is_refused_and_takes_no_memory(tmp_path, wanted):
    path = zeros(tmp_path / "bomb.tar.gz", 2**27)
    assert path.stat().st_size < 2**20
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"bomb\.tar\.gz', the member 'a\.png': the archive unpacks to over .* bytes"):
        read(path, lambda _: wanted)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 2**23


@pytest.mark.parametrize("wanted", [True, False])
def test_a_size_beyond_the_bound_is_refused_before_anything_is_unpacked(tmp_path, wanted):
    head = tarfile.TarInfo("a.png")
    head.size = 2**36  # of which the archive holds nothing
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(head.tobuf(tarfile.GNU_FORMAT)))
    with pytest.raises(ValueError, match=r"the member 'a\.png': the archive unpacks to over"):
        read(tmp_path / "a.tar.gz", lambda _: wanted)


def test_a_member_that_is_too_large_is_left_out_and_the_rest_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MOST_BYTES", 2**20)
    found, skipped = read(zeros(tmp_path / "a.tar.gz", 2**22, "b.png"))
    assert found == [("b.png", b"")]
    assert skipped == ["a.png: it has 4,194,304 bytes, and at most 1,048,576 are read"]


@pytest.mark.parametrize(("size", "why"), [(2**33, "bytes are to be read at once"), (2**28, "unpacks to over")])
def test_a_name_of_gigabytes_is_not_read(tmp_path, size, why):
    head = tarfile.TarInfo("long")
    head.type, head.size = tarfile.GNUTYPE_LONGNAME, size
    (tmp_path / "a.tar").write_bytes(head.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    with pytest.raises(ValueError, match=rf"a\.tar', its first member: .*{why}"):
        read(tmp_path / "a.tar")


def test_links_devices_and_names_that_are_not_utf_8_are_named(tmp_path):
    kinds = []
    for name, kind in (("l.png", tarfile.SYMTYPE), ("h.png", tarfile.LNKTYPE), ("p.png", tarfile.FIFOTYPE)):
        kinds.append(tarfile.TarInfo(name))
        kinds[-1].type = kind
        kinds[-1].linkname = "good.png"
    folder = tarfile.TarInfo("d.png")
    folder.type = tarfile.DIRTYPE
    found, skipped = read(pack(tmp_path / "a.tar.gz", "good.png", "caf\udce9.png", folder, *kinds))
    assert [name for name, _ in found] == ["good.png"]
    assert skipped == [
        "caf\\xe9.png: its name is not UTF-8",
        "l.png: a link in the archive, not a file",
        "h.png: a link in the archive, not a file",
        "p.png: not a file",
    ]


def test_what_an_archive_leaves_out_reaches_the_data_set(tmp_path, monkeypatch):
    monkeypatch.setenv("COVEY_DATA", str(tmp_path))
    link = tarfile.TarInfo("cifar10/train/cat/b.png")
    link.type, link.linkname = tarfile.SYMTYPE, "a.png"
    names = ["cifar10/train/cat/a.png", "cifar10/test/cat/a.png", "cifar10/train/cat/a.mov"]
    pack(tmp_path / "cifar10.tar.gz", *names, link, content=png(7))
    data = cifar10.load(seed=0)
    assert data.skipped == ("cifar10/train/cat/b.png: a link in the archive, not a file",)
    left = LeftOut(".mov", "no suffix of a picture that is read", 1, "a.mov", OTHER)
    assert data.left_out == (left,)


def test_two_data_sets_in_one_archive_are_not_mixed(tmp_path):
    path = pack(tmp_path / "lsp.tar.gz", "lsp/images/im0001.jpg", "lspet/images/im0001.jpg", "lsp/joints.mat")
    with pytest.raises(ValueError, match=r"holds both 'lsp/images/im0001\.jpg' and 'lspet/images/im0001\.jpg'"):
        leeds.count(source=str(path))


# Zip


def zipped(path, members):
    """Members by name, or as zipfile describes them."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for member, content in members.items():
            packed.writestr(member, content)
    return path


def test_a_zip_is_read_in_its_order_whatever_its_name(tmp_path):
    path = zipped(tmp_path / "a.tar.gz", {"b/": b"", "b/z.wav": b"1" * 9999, "a.wav": b"2", "c.txt": b"3"})
    found, skipped = read(path, lambda name: name.endswith(".wav"))
    assert found == [("b/z.wav", b"1" * 9999), ("a.wav", b"2")]
    assert skipped == []


def test_links_and_encrypted_members_of_a_zip_are_named(tmp_path):
    link = zipfile.ZipInfo("l.wav")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    path = zipped(tmp_path / "a.zip", {link: b"/etc/passwd", "s.wav": b"secret", "g.wav": b"x"})
    content = path.read_bytes()
    at = content.index(b"PK\x01\x02", content.index(b"PK\x01\x02") + 1) + 8  # the flags of the second
    path.write_bytes(content[:at] + b"\x01" + content[at + 1 :])
    found, skipped = read(path)
    assert [name for name, _ in found] == ["g.wav"]
    assert skipped == ["l.wav: a link in the archive, not a file", "s.wav: encrypted"]


def test_a_zip_that_unpacks_to_far_more_than_its_size_is_refused_and_takes_no_memory(tmp_path):
    path = zipped(tmp_path / "bomb.zip", {"a.wav": bytes(2**27)})
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"bomb\.zip', the member 'a\.wav': the archive unpacks to over .* bytes"):
        read(path)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 2**23


def test_a_member_that_holds_more_than_the_zip_tells_is_no_more_than_told(tmp_path):
    path = zipped(tmp_path / "a.zip", {"a.wav": bytes(2**24)})
    content = path.read_bytes()
    told = (2**24).to_bytes(4, "little")
    path.write_bytes(content.replace(told, (100).to_bytes(4, "little")))
    with pytest.raises(ValueError, match=r"a\.zip' cannot be read to its end \(Bad CRC"):
        read(path)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.9, 0.99])
def test_a_damaged_zip_is_refused(tmp_path, share):
    noise = {f"{index}.wav": bytes(range(256)) * 9 for index in range(5)}
    path = zipped(tmp_path / "a.zip", noise)
    content = path.read_bytes()
    cut = max(8, int(len(content) * share))
    path.write_bytes(content[:cut])
    with pytest.raises(ValueError, match=r"a\.zip' cannot be read to its end .*; fetch it again"):
        read(path)


def test_any_damage_of_a_zip_is_told(tmp_path):
    whole = zipped(tmp_path / "a.zip", {"a.wav": b"x"}).read_bytes()
    for place in range(4, len(whole)):  # of the first four bytes it is known as a zip
        for value in (1, 0x2D, 0xFF):
            (tmp_path / "a.zip").write_bytes(whole[:place] + bytes([value]) + whole[place + 1 :])
            with contextlib.suppress(ValueError):
                assert len(read(tmp_path / "a.zip")[0]) <= 1
