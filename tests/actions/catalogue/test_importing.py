"""Documents as catalogues: what becomes of them, and what is refused."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from noria.actions.catalogue import CatalogueStore, Origin, StoredPart, open_catalogue
from noria.actions.catalogue.importing import import_catalogue, kind_of
from noria.actions.catalogue.importing.documents import parse_document
from noria.actions.catalogue.importing.help import read_help_text
from noria.actions.catalogue.importing.mcp import operations_of_tools
from noria.actions.operation import Effect
from noria.errors import NoriaError, NotFound
from noria.types import Label, Principal

PET: dict[str, Any] = {
    "type": "object",
    "required": ["id", "name"],
    "properties": {
        "id": {"type": "integer", "readOnly": True},
        "name": {"type": "string", "nullable": True},
        "parent": {"$ref": "#/components/schemas/Pet"},
    },
}
DOCUMENT: dict[str, Any] = {
    "openapi": "3.0.3",
    "servers": [{"url": "https://{host}/v1", "variables": {"host": {"default": "pets.example"}}}],
    "security": [{"key": []}],
    "components": {
        "schemas": {"Pet": PET},
        "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-Key"}},
    },
    "paths": {
        "/pets": {
            "get": {"parameters": [{"name": "cursor", "in": "query", "schema": {}}]},
            "post": {
                "operationId": "addPet",
                "requestBody": {
                    "required": True,
                    "content": {
                        "application/json": {"schema": {"$ref": "#/components/schemas/Pet"}}
                    },
                },
                "responses": {
                    "202": {
                        "headers": {"Operation-Location": {}},
                        "content": {
                            "application/json": {"schema": {"$ref": "#/components/schemas/Pet"}}
                        },
                    }
                },
            },
        },
        "/pets/{petId}": {
            "parameters": [{"name": "petId", "in": "path", "required": True, "schema": {}}],
            "delete": {"operationId": "addPet"},
            "get": {"operationId": "deleteSneaky"},
        },
    },
}


def read(folder: Path, document: Any, name: str = "api.json", **more: Any) -> StoredPart:
    path = folder / name
    path.write_bytes(document if isinstance(document, bytes) else orjson.dumps(document))
    return import_catalogue("pets", Origin("openapi", str(path), **more))


def test_openapi(tmp_path: Path) -> None:
    stored = read(tmp_path, DOCUMENT)
    found = {one.name: one for one in stored.part.operations}
    assert sorted(found) == ["addPet", "addPet_2", "deleteSneaky", "get_pets"]
    made = found["addPet"]
    assert made.effect is Effect.CREATE
    assert (made.undo, made.undo_arguments) == ("addPet_2", {"petId": "result.id"})
    assert not made.undo_verified
    # What is only read is not sent; the circle ends; null of 3.0 is a type of 3.1.
    assert made.parameters["required"] == ["name"]
    assert made.parameters["properties"]["name"]["type"] == ["string", "null"]
    assert b"$ref" not in orjson.dumps(made.parameters)
    assert made.binding["server"] == "https://pets.example/v1"
    assert made.binding["security"][0][0]["parameter"] == "X-Key"
    assert made.binding["long_running"] == {"poll": "Operation-Location", "status": None}
    assert found["get_pets"].binding["pagination"]["style"] == "cursor"
    assert found["addPet_2"].effect is Effect.DESTROY
    # A name can make an operation graver than its method.
    assert found["deleteSneaky"].effect is Effect.DESTROY


def test_a_body_of_alternatives_is_one_argument(tmp_path: Path) -> None:
    body = {"oneOf": [{"type": "string"}, {"$ref": "#/components/schemas/Pet"}]}
    document = DOCUMENT | {
        "paths": {
            "/x": {"post": {"requestBody": {"content": {"application/json": {"schema": body}}}}}
        }
    }
    (one,) = read(tmp_path, document).part.operations
    assert list(one.parameters["properties"]) == ["body"]
    assert len(one.parameters["properties"]["body"]["oneOf"]) == 2


def test_what_nothing_can_call_is_told(tmp_path: Path) -> None:
    impossible = {"name": "n", "in": "query", "required": True, "schema": {"enum": []}}
    document = {
        "openapi": "3.1.0",
        "paths": {"/a": {"get": {}, "put": {"parameters": [impossible]}}, "/{b}": {"get": {}}},
    }
    stored = read(tmp_path, document)
    assert [one.name for one in stored.part.operations] == ["get_a"]
    assert [name for name, _ in stored.lost] == ["PUT /a", "GET /{b}"]


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (b"{", "JSON"),
        ([], "not an object"),
        ({"swagger": "2.0"}, "Swagger"),
        ({"openapi": "4.0", "paths": {}}, "openapi"),
        ({"openapi": "3.1.0", "paths": {}}, "nothing"),
        ({"openapi": "3.1.0", "paths": {"/a": {"$ref": "#/no"}}}, "nowhere"),
        ({"openapi": "3.1.0", "paths": {"/a": {"$ref": "#/paths/~1a"}}}, "circle"),
        ({"openapi": "3.1.0", "paths": {"/a": {"$ref": "/etc/hosts"}}}, "another document"),
        ({"openapi": "3.1.0", "paths": {"/a": {"$ref": "http://169.254.169.254/x"}}}, "another"),
    ],
)
def test_bad_documents(tmp_path: Path, document: Any, said: str) -> None:
    with pytest.raises(NoriaError, match=said):
        read(tmp_path, document)


def test_a_reference_elsewhere_is_followed_where_allowed(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text("a:\n  get: {operationId: elsewhere}\n")
    document = {"openapi": "3.1.0", "paths": {"/a": {"$ref": "other.yaml#/a"}}}
    with pytest.raises(NoriaError, match="another document"):
        read(tmp_path, document)
    stored = read(tmp_path, document, allow=(str(tmp_path),))
    assert stored.part.operations[0].name == "elsewhere"


def bomb(levels: int, merge: bool) -> bytes:
    lines = ["a0: &a0 {x: 1}" if merge else "a0: &a0 [1, 1]"]
    for level in range(1, levels):
        many = ", ".join([f"*a{level - 1}"] * 9)
        lines.append(
            f"a{level}: &a{level} {{k{level}: 1, <<: [{many}]}}"
            if merge
            else f"a{level}: &a{level} [{many}]"
        )
    return "\n".join(lines).encode()


def test_yaml_bombs() -> None:
    for data in (bomb(30, merge=False), b"a: &a [*a]", b"[" * 100_000):
        with pytest.raises(NoriaError):
            parse_document(data, "bomb.yaml")
    # Merge keys copy nothing twice.
    assert len(orjson.dumps(parse_document(bomb(12, merge=True), "merged.yaml"))) < 10_000
    assert parse_document(b"day: 2026-12-01\n200: x", "a.yaml") == {"day": "2026-12-01", "200": "x"}


def test_an_enum_of_100_000_and_many_references(tmp_path: Path) -> None:
    schemas = {
        f"M{i}": {"properties": {f"f{j}": {"$ref": f"#/components/schemas/M{(i * 7 + j) % 60}"}
                                 for j in range(30)}}
        for i in range(60)
    }  # fmt: skip
    kinds = {"name": "kind", "in": "query", "schema": {"enum": [str(i) for i in range(100_000)]}}
    body = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/M1"}}}}
    document = {
        "openapi": "3.1.0",
        "components": {"schemas": schemas},
        "paths": {"/a": {"get": {"parameters": [kinds]}, "post": {"requestBody": body}}},
    }
    began = time.process_time()
    get, post = sorted(read(tmp_path, document).part.operations, key=lambda one: one.name)
    assert time.process_time() - began < 20
    assert len(get.parameters["properties"]["kind"]["enum"]) == 100_000
    assert len(post.parameters["properties"]) == 30
    assert len(orjson.dumps(post.parameters)) < 100_000


MODULE = '''
"""A module."""
raise SystemExit("it was run")

def launch(count: int, kind: "Literal['a', 'b']" = "a", *, tags: list[str] | None = None) -> str:
    """Launch machines.

    Args:
        count: how many
            there are to be.
        kind: of machine
    """

def terminate(count: int) -> None: ...
def _hidden(): ...
'''


def test_python_is_read_and_not_run(tmp_path: Path) -> None:
    path = tmp_path / "cloud.py"
    path.write_text(MODULE)
    found = import_catalogue("cloud", Origin("python", str(path))).part.operations
    launch = found[0]
    assert [one.name for one in found] == ["launch", "terminate"]
    assert launch.parameters["properties"]["count"] == {
        "type": "integer",
        "description": "how many there are to be.",
    }
    assert launch.parameters["properties"]["kind"]["enum"] == ["a", "b"]
    assert launch.parameters["required"] == ["count"]
    assert (launch.undo, launch.undo_arguments) == ("terminate", {"count": "arguments.count"})


HELP = """usage: vm create [-h] --size SIZE [--region {east,west}] [--wait] NAME

Create a machine.

positional arguments:
  NAME                  what to call it

options:
  -h, --help            show this help message and exit
  --size SIZE           how large [required]
  --region {east,west}  where
  --wait                wait until it runs
"""


def test_help() -> None:
    one = read_help_text("vm", ["vm", "create"], HELP)
    assert one.parameters["properties"]["region"]["enum"] == ["east", "west"]
    assert one.parameters["properties"]["wait"]["type"] == "boolean"
    assert set(one.parameters["required"]) == {"size", "name"}
    assert one.effect is Effect.CREATE
    assert one.binding["flags"]["size"] == "--size"
    assert one.binding["positional"] == ["name"]


def tool(name: str, **hints: bool) -> Any:
    blank = {"read_only_hint": None, "destructive_hint": None}
    told = SimpleNamespace(**(blank | hints), model_dump=lambda **_: hints)
    return SimpleNamespace(
        name=name, title=None, description="Does it.", input_schema={"type": "object"},
        output_schema=None, annotations=told,
    )  # fmt: skip


def test_annotations_of_mcp_make_nothing_milder() -> None:
    tools = [
        tool("delete_all", read_only_hint=True),
        tool("frobnicate", read_only_hint=True),
        tool("get_it"),
        tool("update_it", destructive_hint=True),
    ]
    found, _ = operations_of_tools("m", "server", tools)
    assert [one.effect for one in found] == [
        Effect.DESTROY,
        Effect.CHANGE,
        Effect.READ,
        Effect.DESTROY,
    ]


def test_offers(tmp_path: Path) -> None:
    path = tmp_path / "o.csv"
    head = "instance_type,region,usd_hour,as_of\n"
    path.write_text(head + "a.1,north,0.0,2026-01-01\nb.1,north,0.1,2026-01-01\n")
    offers = import_catalogue("o", Origin("offers", str(path))).part.offers
    assert [one.price_hour_nano for one in offers] == [None, 100_000_000]
    for row in ("a.1,north,-1,2026-01-01", "a.1,north,1,yesterday", ",north,1,2026-01-01",
                "a.1,n,1,2026-01-01\na.1,n,2,2026-01-01"):  # fmt: skip
        path.write_text(head + row)
        with pytest.raises(NoriaError, match="line"):
            import_catalogue("o", Origin("offers", str(path)))


def test_apibench_lines(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"api_name": "m", "api_call": "load(\'m\')"}\n{"api_name": "none"}\n')
    assert kind_of(str(path)) == "apibench"
    stored = import_catalogue("x", Origin("apibench", str(path)))
    assert stored.part.operations[0].binding["call"] == "load('m')"
    assert [name for name, _ in stored.lost] == ["none"]


def test_a_home_keeps_catalogues_and_their_versions(tmp_path: Path) -> None:
    store = CatalogueStore(tmp_path / "home")
    first = store.put(read(tmp_path, DOCUMENT, label=Label.INTERNAL, grants=frozenset({"ops"})))
    assert store.get("pets") == first
    assert (
        store.put(
            read(tmp_path, DOCUMENT, label=Label.INTERNAL, grants=frozenset({"ops"}))
        ).versions
        == ()
    )
    changed = DOCUMENT | {"paths": {"/pets": DOCUMENT["paths"]["/pets"]}}
    second = store.put(read(tmp_path, changed, label=Label.INTERNAL, grants=frozenset({"ops"})))
    assert [version for version, _ in second.versions] == [first.part.version]
    anybody, ops = (
        Principal("a"),
        Principal("b", groups=frozenset({"ops"}), clearance=Label.INTERNAL),
    )
    home = tmp_path / "home"
    assert not open_catalogue(home, anybody).search("pet", 5)
    assert open_catalogue(home, ops).search("add a pet", 1)[0].id == "pets.addPet"
    seen = open_catalogue(home).search("add a pet", 5, anybody)
    assert "pets" not in {one.catalogue for one in seen}
    (home / "catalogues" / "pets.json").write_bytes(b"{}")
    with pytest.raises(NoriaError, match="damaged"):
        store.get("pets")
    store.remove("pets")
    with pytest.raises(NotFound):
        store.get("pets")
    for name in ("ec2", "../x", ""):
        with pytest.raises(NoriaError):
            store.remove(name)


def test_ec2_comes_with_noria(tmp_path: Path) -> None:
    found = open_catalogue(tmp_path)
    there = {(one.instance_type, one.region): one for one in found.offers("ec2")}
    assert there["p4d.24xlarge", "us-west-2"].price_hour_nano == 32_772_600_000
    assert there["g5.xlarge", "us-west-2"].price_hour_nano is None
    assert ("p4d.24xlarge", "us-west-1") not in there
    assert all("." in one.instance_type and one.accelerators for one in there.values())
    assert not any(one.price_hour_nano == 0 for one in there.values())
    assert "ec2.run_instances" in [one.id for one in found.search("launch four VMs", 5)]
