"""Hostile archives of torch.export, by kind, each made from a sound one."""

import copy
import io
import json
import pickle
import warnings
import zipfile

import torch
from torch import nn

from tests.attack.checkpoint_files import CANARY, RUN, SYSTEM, joined, patched, whole, zip_bomb

PAYLOAD = whole(RUN)
EVAL = f"__import__('os').system({SYSTEM!r})"
GRAPH, WEIGHTS, CONSTANTS = (
    "models/model.json",
    "data/weights/model_weights_config.json",
    "data/constants/model_constants_config.json",
)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 5)

    def forward(self, x):
        y = self.stem(x).relu().reshape(x.shape[0], 4, -1).mean(2) + torch.tensor([1.0, 2.0, 3.0, 4.0])
        return {"logits": self.head(y)}


class Archive(dict):
    """The entries of an archive without their folder, JSON as objects."""

    def packed(self, folder="net"):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as made:
            for name, content in self.items():
                made.writestr(
                    f"{folder}/{name}", content if isinstance(content, bytes) else json.dumps(content)
                )
        return file.getvalue()

    @property
    def graph(self):
        return self[GRAPH]["graph_module"]["graph"]

    def node(self, target):
        return next(node for node in self.graph["nodes"] if node["target"] == f"torch.ops.aten.{target}")

    def changed(self, change):
        other = Archive(copy.deepcopy(dict(self)))
        change(other)
        return other.packed()


def sound():
    file = io.BytesIO()
    torch.manual_seed(0)
    batch = ({0: torch.export.Dim("batch")},)
    torch.export.save(
        torch.export.export(Net().eval(), (torch.zeros(2, 3, 16, 16),), dynamic_shapes=batch), file
    )
    made = Archive()
    with zipfile.ZipFile(file) as archive:
        for name in archive.namelist():
            content, short = archive.read(name), name.partition("/")[2]
            made[short] = json.loads(content) if short.endswith(".json") else content
    return made


def pickles(a):
    """Entries that torch unpickles."""

    def payload(table, folder, name, **changes):
        def change(b):
            row = next(iter(b[table]["config"].values()))
            row.update(path_name=name, **changes)
            b[f"{folder}/{name}"] = PAYLOAD

        return a.changed(change)

    yield "weight", payload(WEIGHTS, "data/weights", "weight_0", use_pickle=True)
    yield "weight elsewhere", payload(WEIGHTS, "data/weights", "../../extra/x", use_pickle=True)
    yield "weight in a folder", payload(WEIGHTS, "data/weights", "a/weight_0", use_pickle=True)
    yield "weight by an absolute name", payload(WEIGHTS, "data/weights", "/tmp/weight_0", use_pickle=True)
    yield "constant", payload(CONSTANTS, "data/constants", "tensor_0", use_pickle=True)
    yield (
        "custom object",
        payload(CONSTANTS, "data/constants", "custom_obj_0", use_pickle=True, tensor_meta=None),
    )
    yield (
        "opaque object",
        payload(CONSTANTS, "data/constants", "opaque_obj_0", use_pickle=True, tensor_meta=None),
    )
    yield "object said to be data", payload(CONSTANTS, "data/constants", "opaque_obj_0", use_pickle=False)
    yield "truth that is 1", payload(WEIGHTS, "data/weights", "weight_0", use_pickle=1)
    yield "weights of before", a.changed(lambda b: b.update({"data/weights/model.pt": PAYLOAD}))
    yield "constants of before", a.changed(lambda b: b.update({"data/constants/model.pt": PAYLOAD}))
    yield "layout of before", old_layout()
    yield (
        "another model",
        a.changed(
            lambda b: b.update({"models/other.json": b[GRAPH], "data/sample_inputs/other.pt": PAYLOAD})
        ),
    )
    yield "name without the flag of UTF-8", _with_latin_name(a)
    yield "name with a backslash", a.changed(lambda b: b.update({"data\\weights\\model.pt": PAYLOAD}))
    yield "two folders", Archive({**a, "../other/models/model.json": PAYLOAD}).packed()
    yield "capitals", a.changed(lambda b: b.update({"DATA/weights/weight_0": PAYLOAD}))


def old_layout():
    parts = {
        "version": b"8.20",
        "serialized_exported_program.json": b"{}",
        "serialized_state_dict.pt": PAYLOAD,
        "serialized_constants.pt": PAYLOAD,
        "serialized_example_inputs.pt": PAYLOAD,
    }
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        for name, content in parts.items():
            made.writestr(name, content)
    return file.getvalue()


def _with_latin_name(a):
    """An archive in which zipfile reads the name of one entry otherwise than torch: its flag says cp437."""
    entries = {
        f"net/{name}": value if isinstance(value, bytes) else json.dumps(value).encode()
        for name, value in a.items()
    }
    return joined(entries, patched("net/data/weights/model\u00e9.pt", PAYLOAD, len(PAYLOAD)))


def texts(a):
    """Texts that torch evaluates, imports, compiles or calls."""

    def expression(text):
        def change(b):
            b.graph["tensor_values"]["x"]["sizes"][0] = {"as_expr": {"expr_str": text, "hint": {"as_int": 2}}}

        return a.changed(change)

    def target(text, *, of="relu.default"):
        return a.changed(lambda b: b.node(of).update(target=text))

    def spec(kind, context="null"):
        tree = {
            "type": kind,
            "context": context,
            "children_spec": [{"type": None, "context": None, "children_spec": []}],
        }

        def change(b):
            b[GRAPH]["graph_module"]["module_call_graph"][0]["signature"]["out_spec"] = json.dumps([1, tree])

        return a.changed(change)

    def argument(value):
        return a.changed(
            lambda b: b.node("conv2d.default")["inputs"].append({"name": "groups", "arg": value, "kind": 1})
        )

    yield "expression that imports", expression(EVAL)
    yield "expression of attributes", expression("s77.func.__globals__")
    yield "expression by lambda", expression(f"(lambda: {EVAL})()")
    yield "expression by comprehension", expression(f"[{EVAL} for x in [1]][0]")
    yield "expression by a symbol's assumption", expression(f"Symbol('s77', integer={EVAL})")
    yield "expression by a string", expression(f"Symbol({EVAL!r})")
    yield "expression by formatting", expression("f'{s77}'")
    yield "power of powers", expression("9**9**9**9")
    yield "power by name", expression("Pow(Integer(9), Integer(999999999))")
    yield "factorial", expression("factorial(10**9)")
    yield "long expression", expression("+".join(["s77"] * 5000))
    yield "deep expression", expression("(" * 900 + "s77" + ")" * 900)
    yield "file", from_file(a)
    yield "storage", target("torch.ops.aten.set_.source_Tensor")
    yield "size", target("torch.ops.aten.resize_.default")
    yield "memory of others", target("torch.ops.aten.empty_like.default")
    yield "result given from outside", target("torch.ops.aten.relu.out")
    yield "kernel that trusts its arguments", target("torch.ops.aten._weight_norm_interface.default")
    yield "custom operator", target("torch.ops.mylib.run.default")
    yield "prim operator", target("torch.ops.prims.device_put.default")
    yield "higher-order operator", target("torch.ops.higher_order.wrap_with_set_grad_enabled")
    yield "profiler", target("torch.ops.profiler._record_function_enter_new.default")
    yield "function of torch", target("torch.hub.load")
    yield "function of operator", target("_operator.methodcaller")
    yield "function of math", target("math.factorial")
    yield "extension", target("#mine:run")
    yield "operator in a longer name", target("torch.ops.aten.relu.default.__call__")
    yield "no operator", target("")
    yield "operator as a value", argument({"as_operator": "torch.ops.aten.from_file.default"})
    yield "graph as a value", argument({"as_graph": {"name": "g", "graph": a.graph}})
    yield "custom object as a value", argument({"as_custom_obj": {"name": "o", "class_fqn": "os"}})
    yield "text with escapes", argument({"as_string": "\x1b[31m\n::error::"})
    yield (
        "name that is code",
        a.changed(lambda b: b.graph["inputs"][-1]["as_tensor"].update(name=f"x=({EVAL})")),
    )
    yield "name of a node that is code", a.changed(lambda b: b.node("relu.default").update(name=f"r;{EVAL}"))
    yield (
        "name of a parameter",
        a.changed(
            lambda b: b[GRAPH]["graph_module"]["signature"]["input_specs"][0]["parameter"].update(
                parameter_name="__class__.x"
            )
        ),
    )
    yield (
        "name of a constant",
        a.changed(
            lambda b: b[CONSTANTS]["config"].update(
                {f"x;{EVAL}": b[CONSTANTS]["config"].pop(next(iter(b[CONSTANTS]["config"])))}
            )
        ),
    )
    yield (
        "enum of a container",
        spec("builtins.dict", json.dumps([{"__enum__": True, "fqn": "antigravity:x", "name": "y"}])),
    )
    yield (
        "default factory",
        spec(
            "collections.defaultdict",
            json.dumps(
                {"default_factory_module": "os", "default_factory_name": "abort", "dict_context": "[]"}
            ),
        ),
    )
    yield "named tuple", spec("collections.namedtuple", json.dumps("os.stat_result"))
    yield "verifier", a.changed(lambda b: b[GRAPH].update(verifiers=["x; import os"]))
    yield (
        "range",
        a.changed(lambda b: b[GRAPH]["range_constraints"].update({EVAL: {"min_val": 0, "max_val": 1}})),
    )
    yield (
        "device",
        a.changed(
            lambda b: b.graph["tensor_values"]["x"].update(device={"type": "cpu; import os", "index": None})
        ),
    )


def from_file(a):
    """The relu becomes an operator that creates a file when the graph runs."""

    def change(b):
        node = b.node("relu.default")
        value = node["inputs"][0]["arg"]
        node["target"] = "torch.ops.aten.from_file.default"
        node["inputs"] = [
            {"name": "filename", "arg": {"as_string": CANARY}, "kind": 1},
            {"name": "shared", "arg": {"as_bool": True}, "kind": 1},
            {"name": "size", "arg": {"as_int": 2 * 4 * 14 * 14}, "kind": 1},
        ]
        assert value

    return a.changed(change)


def left_out(a):
    """Texts and entries that are not needed: the program loads without them, and they do nothing."""
    guard = {"guards_code": [f"{EVAL} or True"]}
    yield "guards", a.changed(lambda b: b[GRAPH].update(guard))
    yield "example inputs", a.changed(lambda b: b.update({"data/sample_inputs/model.pt": PAYLOAD}))
    yield "files beside", a.changed(lambda b: b.update({"extra/../x.pkl": PAYLOAD}))
    yield (
        "metadata",
        a.changed(
            lambda b: b.node("relu.default").update(
                metadata={"source_fn_stack": "x,torch.hub.load", "custom": "[" * 9999}
            )
        ),
    )
    yield "metadata of the graph", a.changed(lambda b: b[GRAPH]["graph_module"].update(metadata={"x": EVAL}))
    context = json.dumps({"__enum__": True, "fqn": "antigravity:x", "name": "y"})

    def change(b):
        signature = b[GRAPH]["graph_module"]["module_call_graph"][0]["signature"]
        protocol, tree = json.loads(signature["in_spec"])
        signature["in_spec"] = json.dumps([protocol, {**tree, "context": context}])

    yield "context of a tuple", a.changed(change)
    yield "as it is", a.packed()


def floods(a):
    """A little file that asks for much memory or time, or damaged ones."""

    def row(**meta):
        def change(b):
            rows = b[WEIGHTS]["config"]
            next(iter(rows.values()))["tensor_meta"].update(meta)

        return a.changed(change)

    def sizes(*values):
        return [{"as_int": value} for value in values]

    yield "shape", row(sizes=sizes(10**6, 10**6), strides=sizes(10**6, 1))
    yield "shape that repeats", row(sizes=sizes(10**6, 10**6), strides=sizes(0, 0))
    yield "negative shape", row(sizes=sizes(-4, 3, 3, 3))
    yield "offset", row(storage_offset={"as_int": 2**40})
    yield "dtype", row(dtype=99)
    yield "layout", row(layout=1)
    yield "symbolic shape", row(sizes=[{"as_expr": {"expr_str": "s0"}}] * 4)
    yield "empty entry", a.changed(lambda b: b.update({"data/weights/weight_0": b""}))
    yield "no entry", a.changed(lambda b: b.pop("data/weights/weight_0"))
    yield "nodes", a.changed(lambda b: b.graph["nodes"].extend([b.node("relu.default")] * 25_000))
    yield "deep graph", a.changed(lambda b: b.update({GRAPH: b"[" * 100_000 + b"]" * 100_000}))
    yield "less deep graph", a.changed(lambda b: b[GRAPH].update(x=json.loads("[" * 200 + "]" * 200)))
    yield "no JSON", a.changed(lambda b: b.update({GRAPH: b"\xff\xfe{}"}))
    yield "no graph", a.changed(lambda b: b.update({GRAPH: b"[1]"}))
    yield (
        "digits",
        a.changed(
            lambda b: b.update({GRAPH: b'{"graph_module": {"graph": {"nodes": [' + b"9" * 5000 + b"]}}}"})
        ),
    )
    yield "integer", a.changed(lambda b: b.graph.update(x=2**70))
    yield "zip bomb", zip_bomb(1500).replace(b"a/data.pkl", b"a/archive_format"[:10])
    yield (
        "encrypted",
        a.packed().replace(b"PK\1\2\x14\x03\x14\x00\x00\x00", b"PK\1\2\x14\x03\x14\x00\x01\x00"),
    )
    yield "half", a.packed()[:-300]
    yield "two entries of one name", _doubled(a)
    yield "another version", a.changed(lambda b: b.update(archive_version=b"7"))
    yield "another byte order", a.changed(lambda b: b.update(byteorder=b"big"))


def _doubled(a):
    file = io.BytesIO(a.packed())
    with warnings.catch_warnings(), zipfile.ZipFile(file, "a") as made:
        warnings.simplefilter("ignore")
        made.writestr(f"net/{GRAPH}", b"{}")
    return file.getvalue()


def scripts():
    """TorchScript, which is code."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file = io.BytesIO()
        torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)), file)
    yield "script", file.getvalue()
    for name in ("code/__torch__.py", "constants.pkl"):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as made:
            made.writestr(f"net/{name}", b"x")
        yield name, out.getvalue()
    yield "compiled", Archive({**sound(), "data/aotinductor/model/x.so": b"\x7fELF"}).packed()
    yield "pickle", pickle.dumps([1])


KINDS = {"pickle": pickles, "text": texts, "flood": floods, "script": lambda _: scripts()}
