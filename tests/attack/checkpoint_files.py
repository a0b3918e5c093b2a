"""Hostile checkpoints, by kind: pickles written by hand, in archives written by hand."""

import io
import os
import pickle
import socket
import struct
import zipfile
import zlib

CANARY = "it-ran"
SYSTEM = f"touch {CANARY}"

PROTO, STOP, MARK, REDUCE, BUILD = b"\x80\x02", b".", b"(", b"R", b"b"
EMPTY_TUPLE, EMPTY_DICT, EMPTY_LIST, NEWOBJ, PERSISTENT = b")", b"}", b"]", b"\x81", b"Q"


def text(value):
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def number(value):
    if 0 <= value < 256:
        return b"K" + bytes([value])
    data = pickle.encode_long(value)
    return b"\x8a" + bytes([len(data)]) + data


def named(name):
    module, _, attribute = name.rpartition(".")
    return b"c" + f"{module}\n{attribute}\n".encode()


def a_tuple(*items):
    return MARK + b"".join(items) + b"t"


def call(name, *arguments):
    return named(name) + a_tuple(*arguments) + REDUCE


def items(**values):
    return EMPTY_DICT + b"".join(text(key) + value + b"s" for key, value in values.items())


def storage(key="0", count=4, kind="torch.FloatStorage", location="cpu"):
    return a_tuple(text("storage"), named(kind), text(key), text(location), number(count)) + PERSISTENT


def tensor(shape=(4,), stride=(1,), offset=0, **where):
    hooks = call("collections.OrderedDict")
    return call(
        "torch._utils._rebuild_tensor_v2",
        storage(**where),
        number(offset),
        a_tuple(*map(number, shape)),
        a_tuple(*map(number, stride)),
        b"\x89",
        hooks,
    )


def whole(value):
    return PROTO + value + STOP


def entries(value, **data):
    """The entries of an archive of torch.save around a pickle."""
    return {
        "a/data.pkl": whole(value),
        "a/byteorder": b"little",
        "a/version": b"3\n",
        "a/data/0": b"\0" * 16,
    } | {f"a/data/{key}": content for key, content in data.items()}


def archive(parts, compression=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as made:
        for name, content in parts.items():
            made.writestr(name, content)
    return file.getvalue()


def directory(count):
    """An archive of nothing but a directory of `count` entries of 53 bytes."""
    entry = struct.pack("<4s4B4HL2L5H2L", b"PK\1\2", 20, 0, 20, *[0] * 8, 7, *[0] * 6)
    every = b"".join(entry + b"%07d" % number for number in range(count))
    end = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, len(every), 2)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, 2 + len(every), 1)
    return (
        b"PK"
        + every
        + end
        + locator
        + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, *[0xFFFF] * 2, *[2**32 - 1] * 2, 0)
    )


def torch_file(value, **data):
    return archive(entries(value, **data))


def old_format(value, keys=EMPTY_LIST, rest=b""):
    """The format before the archive."""
    magic = b"\x8a\x0a" + pickle.encode_long(0x1950A86A20F9469CFC6C)
    system = items(protocol_version=number(1001), little_endian=b"\x88")
    return b"".join(map(whole, (magic, number(1001), system, value, keys))) + rest


RUN = call("posix.system", text(SYSTEM))


def code():
    """What would run a command when it is unpickled."""
    yield "reduce", torch_file(RUN)
    yield "beside weights", torch_file(items(weight=tensor(), hook=RUN))
    yield "by stack_global", torch_file(b"\x8c\x05posix\x8c\x06system\x93" + a_tuple(text(SYSTEM)) + REDUCE)
    yield "by inst", torch_file(MARK + text(SYSTEM) + b"iposix\nsystem\n")
    yield "by obj", torch_file(MARK + named("posix.system") + text(SYSTEM) + b"o")
    yield "by newobj_ex", torch_file(named("posix.system") + a_tuple(text(SYSTEM)) + EMPTY_DICT + b"\x92")
    yield "by extension registry", torch_file(b"\x82\x01" + a_tuple(text(SYSTEM)) + REDUCE)
    yield (
        "through getattr",
        torch_file(
            call("builtins.getattr", call("importlib.import_module", text("os")), text("system"))
            + a_tuple(text(SYSTEM))
            + REDUCE
        ),
    )
    yield "through eval", torch_file(call("builtins.eval", text(f"__import__('os').system({SYSTEM!r})")))
    yield (
        "by torch's rebuilding from a type",
        torch_file(
            call(
                "torch._tensor._rebuild_from_type_v2",
                named("posix.system"),
                named("torch.Tensor"),
                a_tuple(text(SYSTEM)),
                b"N",
            )
        ),
    )
    yield "as the state of a dictionary", torch_file(call("collections.OrderedDict") + items(x=RUN) + BUILD)
    yield "as a persistent id", torch_file(a_tuple(text("module"), RUN) + PERSISTENT)
    yield "as the type of a storage", torch_file(tensor(kind="posix.system"))
    yield "as a key", torch_file(EMPTY_DICT + RUN + number(1) + b"s")
    yield "in the old format", old_format(RUN)
    yield "in the keys of the old format", old_format(items(weight=number(1)), keys=RUN)
    yield "in a plain pickle", whole(RUN)
    yield "in a pickle of protocol 5", pickle.dumps(_Payload(), protocol=5)
    yield (
        "in a second pickle of the archive",
        archive(entries(items(weight=tensor())) | {"b/data.pkl": whole(RUN)}),
    )
    yield (
        "by a name of several lines",
        torch_file(
            text("posix\n::error::x\x1b[31m") + text("system") + b"\x93" + a_tuple(text(SYSTEM)) + REDUCE
        ),
    )
    yield "called though it is data", torch_file(tensor() + a_tuple(text(SYSTEM)) + REDUCE)


class _Payload:
    def __reduce__(self):
        return os.system, (SYSTEM,)


def dtype(code, state=None):
    made = call("numpy.dtype", code, b"\x89", b"\x88")
    return made if state is None else made + state + BUILD


def scalar(kind, data="\0" * 8):
    encoded = call("_codecs.encode", text(data), text("latin1"))
    return torch_file(items(weight=tensor(), best=call("numpy._core.multiarray.scalar", kind, encoded)))


def state(order="<", *rest):
    rest = rest or (b"N", b"N", b"N", number(-1), number(-1), number(0))
    return a_tuple(number(3), text(order), *rest)


def numpy_values():
    """NumPy values that are not numbers: an array of objects over chosen bytes is a pointer of its author's."""
    yield "object", scalar(dtype(text("O8")))
    yield "object in a structure", scalar(dtype(text("i4,O")))
    yield (
        "object of a state",
        scalar(
            dtype(
                text("f8"),
                state(
                    "<",
                    b"N",
                    a_tuple(text("a")),
                    items(a=a_tuple(dtype(text("O8")), number(0))),
                    number(8),
                    number(1),
                    number(27),
                ),
            )
        ),
    )
    yield (
        "void of fields",
        scalar(
            dtype(
                text("V16"),
                state("|", b"N", a_tuple(text("x")), EMPTY_DICT, number(16), number(1), number(16)),
            )
        ),
    )
    yield (
        "array within",
        scalar(
            dtype(
                text("f8"),
                state(
                    "<",
                    a_tuple(dtype(text("O8")), a_tuple(number(1))),
                    b"N",
                    b"N",
                    number(8),
                    number(1),
                    number(0),
                ),
            )
        ),
    )
    yield "no dtype", scalar(number(8))
    yield "dtype of a dtype", scalar(dtype(dtype(text("f8"))))
    yield "too few bytes", scalar(dtype(text("f8"), state()), "\0")
    yield "too many bytes", scalar(dtype(text("f8"), state()), "\0" * 32)
    yield "dates", scalar(dtype(text("M8[ns]"), state()))
    yield (
        "array",
        torch_file(
            items(
                weight=tensor(),
                rng=call(
                    "numpy._core.multiarray._reconstruct",
                    named("numpy.ndarray"),
                    a_tuple(number(0)),
                    text("b"),
                ),
            )
        ),
    )
    yield "state that is no tuple", scalar(dtype(text("f8"), number(1)))


def floods():
    """A little file that asks for much memory or time."""
    yield (
        "bytearray",
        torch_file(items(weight=tensor(), x=call("builtins.bytearray", number(10**11)), y=call("posix.no"))),
    )
    yield "memo", torch_file(EMPTY_DICT + b"r\xff\xff\xff\x7f" + b"j\xff\xff\xff\x7e")
    yield "length of text", torch_file(b"X\xff\xff\xff\xff")
    yield "length of bytes", torch_file(b"\x8e" + struct.pack("<Q", 2**62))
    yield "number of millions of digits", torch_file(b"\x8b\xff\xff\xff\x7f")
    yield (
        "punycode",
        torch_file(
            items(
                weight=tensor(),
                x=call("_codecs.encode", text("é" * 300_000), text("idna")),
                y=call("posix.no"),
            )
        ),
    )
    multiples = b"".join(number(n * (2**61 - 1)) + b"N" for n in range(1, 200_000))
    yield "numbers of one hash as keys", torch_file(EMPTY_DICT + MARK + multiples + b"u")
    tuples = b"".join(
        a_tuple(*(number(-1 - (n >> bit & 1)) for bit in range(17))) + b"N" for n in range(100_000)
    )
    yield "tuples of one hash as keys", torch_file(EMPTY_DICT + MARK + tuples + b"u")
    yield "floats of one hash in tuples", torch_file(EMPTY_DICT + MARK + b"G" + b"\0" * 8 + b"\x85Nu")
    yield "tensor that repeats", torch_file(items(weight=tensor(shape=(3_000_000, 512), stride=(0, 0))))
    yield "tensor that repeats rows", torch_file(items(weight=tensor(shape=(10**9, 4), stride=(0, 1))))
    yield "tensor larger than its storage", torch_file(items(weight=tensor(shape=(10**10,), stride=(1,))))
    yield "storage larger than its entry", torch_file(items(weight=tensor(shape=(10**10,), count=10**10)))
    yield (
        "empty tensor of a vast shape",
        torch_file(items(weight=tensor(shape=(0, 2**61, 2**61), stride=(1, 1, 1)))),
    )
    yield "offset beyond", torch_file(items(weight=tensor(offset=2**62)))
    yield "negative stride", torch_file(items(weight=tensor(shape=(2,), stride=(-1,))))
    yield "negative size", torch_file(items(weight=tensor(shape=(-1,))))
    yield "deep key", torch_file(EMPTY_DICT + b"N" + b"\x85" * 1_000_000 + number(1) + b"s")
    yield "deep lists", torch_file(b"]" * 1_000_000 + b"a" * 999_999)
    yield "deep dictionaries", torch_file((EMPTY_DICT + text("k")) * 300_000 + b"N" + b"s" * 300_000)
    yield "dictionaries that share themselves", torch_file(_shared())
    yield "dictionary that holds itself", torch_file(EMPTY_DICT + b"q\x00" + text("a") + b"h\x00" + b"s")
    yield "instructions", torch_file(b"N" * 4_000_000)
    yield "copies of a dictionary", torch_file(_copied())
    yield "zip bomb", zip_bomb(1500)
    yield "overlapping entries", overlapping(400)
    yield "declared size", declared(2**40)


def _shared():
    """Fifty levels of a dictionary that holds the next four times: 4^50 paths."""
    value = items(z=number(1))
    for _ in range(50):
        value = (
            value
            + b"q\x01"
            + EMPTY_DICT
            + b"q\x02"
            + b"".join(text(f"k{n}") + b"h\x01" + b"s" for n in range(4))
        )
    return value


def _copied():
    pairs = b"](" + b"".join(text(f"{n}") + b"N\x86" for n in range(20_000)) + b"e"
    return pairs + b"q\x01" + b"](" + (named("collections.OrderedDict") + b"h\x01\x85R") * 5_000 + b"e"


def zip_bomb(megabytes):
    """An archive whose entry is megabytes of zeros, made without compressing them all."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = squeeze.compress(b"\0" * 1_000_000) + squeeze.flush(zlib.Z_FULL_FLUSH)
    data = block * megabytes + zlib.compressobj(9, zlib.DEFLATED, -15).flush()
    bomb = patched("a/data/big", data, 1_000_000 * megabytes, method=8)
    count = 250_000 * megabytes
    return joined(entries(items(weight=tensor(shape=(count,), key="big", count=count))), bomb)


def declared(size):
    return joined(
        entries(items(weight=tensor(shape=(size // 4,), key="big", count=size // 4))),
        patched("a/data/big", b"\0" * 99, size, method=8),
    )


def patched(name, data, size, *, method=0, flags=0, crc=0):
    """One entry as (local header with data, function from offset to directory entry)."""
    name, small = name.encode(), min(size, 0xFFFFFFFF)
    large = b"" if size < 0xFFFFFFFF else struct.pack("<HHQ", 1, 8, size)
    small = small if not large else 0xFFFFFFFF
    common = struct.pack("<HHHHHIII", 20, flags, method, 0, 0, crc, len(data), small)
    local = b"PK\3\4" + common + struct.pack("<HH", len(name), 0) + name + data

    def directory(offset):
        ends = struct.pack("<HHHHHII", len(name), len(large), 0, 0, 0, 0, offset)
        return b"PK\1\2" + struct.pack("<H", 20) + common + ends + name + large

    return local, directory


def joined(parts, *more):
    """An archive of ordinary entries and patched ones."""
    made, body, directory = [patched(n, c, len(c), crc=zlib.crc32(c)) for n, c in parts.items()], b"", b""
    for local, entry in (*made, *more):
        directory += entry(len(body))
        body += local
    count = len(made) + len(more)
    return (
        body
        + directory
        + b"PK\5\6"
        + struct.pack("<HHHHIIH", 0, 0, count, count, len(directory), len(body), 0)
    )


def overlapping(count):
    """Many entries of the directory at one place of the file."""
    data = b"\0" * 4_000_000
    first, again = (
        patched("a/data/x0", data, len(data)),
        [patched(f"a/data/x{n}", data, len(data))[1] for n in range(1, count)],
    )
    weights = {f"w{n}": tensor(shape=(1_000_000,), key=f"x{n}", count=1_000_000) for n in range(count)}
    parts = entries(items(**weights))
    made = [patched(n, c, len(c), crc=zlib.crc32(c)) for n, c in parts.items()]
    body, directory = b"", b""
    for local, entry in (*made, first):
        directory, place = directory + entry(len(body)), len(body)
        body += local
    directory += b"".join(entry(place) for entry in again)
    total = len(made) + count
    return (
        body
        + directory
        + b"PK\5\6"
        + struct.pack("<HHHHIIH", 0, 0, total, total, len(directory), len(body), 0)
    )


def odd_tensors():
    """Tensors that are no ordinary ones."""
    size, one = a_tuple(number(4)), a_tuple(number(1))
    meta = call("torch._utils._rebuild_meta_tensor_no_storage", named("torch.float32"), size, one, b"\x89")
    yield "meta", torch_file(items(weight=meta))
    yield "meta, large", torch_file(items(weight=tensor(shape=(2**40,), count=2**40, location="meta")))
    yield (
        "sparse",
        torch_file(
            items(
                weight=call(
                    "torch._utils._rebuild_sparse_tensor",
                    call("torch.serialization._get_layout", text("torch.sparse_coo")),
                    a_tuple(tensor(), tensor(), size),
                )
            )
        ),
    )
    yield (
        "quantised",
        torch_file(
            items(
                weight=call(
                    "torch._utils._rebuild_qtensor",
                    storage(kind="torch.QInt8Storage"),
                    number(0),
                    size,
                    one,
                    a_tuple(named("torch.per_tensor_affine")),
                    b"\x89",
                    call("collections.OrderedDict"),
                )
            )
        ),
    )
    yield "nested", torch_file(items(weight=call("torch._utils._rebuild_nested_tensor", tensor(), tensor())))
    yield (
        "wrapper",
        torch_file(
            items(
                weight=call(
                    "torch._utils._rebuild_wrapper_subclass",
                    named("torch.Tensor"),
                    named("torch.float32"),
                    size,
                )
            )
        ),
    )
    yield (
        "no storage",
        torch_file(items(weight=call("torch._utils._rebuild_tensor_v2", number(1), number(0), size, one))),
    )
    yield "65 dimensions", torch_file(items(weight=tensor(shape=(1,) * 65, stride=(1,) * 65)))
    yield "strides missing", torch_file(items(weight=tensor(shape=(2, 2), stride=(1,))))


def archives():
    """Archives that are not as torch.save writes them."""
    good = entries(items(weight=tensor()))
    data = whole(items(weight=tensor()))
    yield "encrypted", joined({}, patched("a/data.pkl", data, len(data), flags=1))
    yield "compressed by bzip2", archive(good, zipfile.ZIP_BZIP2)
    yield "compressed by LZMA", archive(good, zipfile.ZIP_LZMA)
    yield "two entries of one name", joined(good, patched("a/data.pkl", data, len(data)))
    yield "two pickles", archive(good | {"b/data.pkl": data})
    yield "another method", joined({}, patched("a/data.pkl", data, len(data), method=99))
    yield "two sizes", joined(good, patched("a/data/1", b"\0" * 8, 80))
    yield "wrong checksum", joined({}, patched("a/data.pkl", data, len(data), crc=1))
    yield "directory of a million entries", directory(1_000_000)
    yield "no pickle", archive({"a/data/0": b"\0" * 16})
    yield "another byte order", archive(good | {"a/byteorder": b"big"})
    yield "half", archive(good)[:-60]
    yield (
        "offset beyond the file",
        archive(good).replace(b"PK\1\2", b"PK\1\2", 1)[:-22]
        + b"PK\5\6"
        + struct.pack("<HHHHIIH", 0, 0, 4, 4, 2**31, 2**31, 0),
    )
    yield "comment with another end", archive(good) + b"PK\5\6" + b"\0" * 18
    yield "absolute names", archive({"/etc/data.pkl": data, "../data.pkl": data})


def special_files(folder):
    """Make files that are none, and yield them."""
    os.mkfifo(folder / "fifo.pt")
    (folder / "link to a fifo.pt").symlink_to(folder / "fifo.pt")
    (folder / "zeros.pt").symlink_to("/dev/zero")
    (folder / "dangling.pt").symlink_to(folder / "nowhere")
    (folder / "folder.pt").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(folder / "socket.pt"))
    (folder / "circle.pt").symlink_to(folder / "circle.pt")
    for name in (
        "fifo.pt",
        "link to a fifo.pt",
        "zeros.pt",
        "dangling.pt",
        "folder.pt",
        "socket.pt",
        "circle.pt",
    ):
        yield name.removesuffix(".pt"), folder / name


KINDS = {
    "code": code,
    "numpy": numpy_values,
    "flood": floods,
    "tensor": odd_tensors,
    "archive": archives,
}
