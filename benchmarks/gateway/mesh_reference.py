"""Whether `homeostat gateway config` prints what Envoy, Istio and KServe define.

Each document is held to the published definition: for Istio and KServe the schemas of their
resources, in which an unknown field is an error; for Envoy its messages, which the protobuf library
reads as Envoy does. With --table it writes down the fields that there are, by message:
tests/unit/entrypoints/gateway/mesh_fields.json.

Get the definitions, then run it with the project's Python (grpcio-tools, jsonschema):

    for r in istio/api kserve/kserve envoyproxy/data-plane-api cncf/xds bufbuild/protoc-gen-validate
    do git clone --depth 1 https://github.com/$r definitions/$(basename $r); done
    python benchmarks/gateway/mesh_reference.py definitions
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import yaml
from google.protobuf import json_format
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from homeostat.domain.route import Route
from homeostat.entrypoints.gateway.mesh import Mesh, Split, render
from homeostat.serving.breaker import BreakerConfig

ROUTES = (
    Route("fraud", "v1"),
    Route("Fraud_1", "v1", "v2", 0.126, ("v3", "v4")),
)
ISTIO = "api/kubernetes/customresourcedefinitions.gen.yaml"
KSERVE = "kserve/config/crd/full/serving.kserve.io_inferenceservices.yaml"
ENVOY = ("envoy/config/route/v3/route.proto", "envoy/config/cluster/v3/cluster.proto")
INCLUDED = ("data-plane-api", "xds", "protoc-gen-validate")
WHOLE = "envoy.config.route.v3.RouteConfiguration", "envoy.config.cluster.v3.Cluster"


def printed(mesh: Mesh) -> Iterator[dict[str, Any]]:
    """Yield the documents for all routes."""
    for breaker in (BreakerConfig(), BreakerConfig(faults=7, run=3, share=0.4)):
        text = render(mesh, [Split(route, breaker, 0.2) for route in ROUTES])
        yield from yaml.safe_load_all(text)


def closed(schema: object) -> object:
    """Return a schema in which fields that are not named are errors."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: closed(part) for name, part in schema.items() if name != "description"}
    named = found.get("properties")
    free = found.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in found
    if isinstance(named, dict) and found.get("type") == "object" and not free:
        found["additionalProperties"] = False
    return found


def schemas(path: Path) -> dict[tuple[str, str], Any]:
    """Return the schemas of a file by version and kind."""
    found: dict[tuple[str, str], Any] = {}
    for text in yaml.load_all(path.read_text(), yaml.CSafeLoader):
        spec = (text or {}).get("spec", {})
        for version in spec.get("versions", ()):
            kind = f"{spec['group']}/{version['name']}", spec["names"]["kind"]
            found[kind] = closed(version["schema"]["openAPIV3Schema"])
    return found


def check_resources(mesh: Mesh, path: Path) -> int:
    """Hold what is printed to the schemas; raises ValidationError."""
    known, count = schemas(path), 0
    for document in printed(mesh):
        schema = known[document["apiVersion"], document["kind"]]
        # The rest is defined by Kubernetes itself.
        jsonschema.validate(document["spec"], schema["properties"]["spec"])
        count += 1
    return count


def pool_of(folder: Path) -> DescriptorPool:
    """Compile Envoy's messages."""
    places = [folder / name for name in INCLUDED]
    places.append(Path(str(files("grpc_tools") / "_proto")))
    places.append(Path(str(files("google.rpc"))).parent.parent)
    with tempfile.TemporaryDirectory() as made:
        out = Path(made) / "envoy.binpb"
        subprocess.run(
            [
                *(sys.executable, "-m", "grpc_tools.protoc", "--include_imports"),
                *(f"-I{place}" for place in places),
                *(f"--descriptor_set_out={out}", *ENVOY),
            ],
            check=True,
        )
        described = FileDescriptorSet.FromString(out.read_bytes())
    pool = DescriptorPool()
    for file in described.file:
        pool.Add(file)
    return pool


def check_envoy(pool: DescriptorPool) -> int:
    """Read what is printed as messages; raises ParseError."""
    count = 0
    routes, cluster = (GetMessageClass(pool.FindMessageTypeByName(name)) for name in WHOLE)
    for document in printed(Mesh.ENVOY):
        clusters = document.pop("clusters")
        json_format.ParseDict(document, routes(), descriptor_pool=pool)
        for each in clusters:
            json_format.ParseDict(each, cluster(), descriptor_pool=pool)
        count += 1 + len(clusters)
    return count


def paths(tree: object, at: str = "") -> Iterator[str]:
    """Yield the paths of the objects in a document, without positions."""
    if isinstance(tree, dict):
        yield at
        for name, part in tree.items():
            yield from paths(part, f"{at}.{name}")
    elif isinstance(tree, list):
        for part in tree:
            yield from paths(part, at)


def of_schema(schema: dict[str, Any], path: str) -> list[str] | None:
    """Return the fields that a schema has at a path; None if any go."""
    for name in path.split(".")[1:]:
        schema = schema.get("items", schema)
        if name not in schema.get("properties", {}):
            return None
        schema = schema["properties"][name]
    schema = schema.get("items", schema)
    return sorted(schema["properties"]) if "properties" in schema else None


def of_message(pool: DescriptorPool, message: str, path: str) -> list[str]:
    """Return the fields that a message has at a path."""
    found = pool.FindMessageTypeByName(message)
    for name in path.split(".")[1:]:
        found = found.fields_by_name[name].message_type
    return sorted(found.fields_by_name)


def table(folder: Path, pool: DescriptorPool) -> dict[str, list[str]]:
    """Return the fields that there are, by document and path."""
    made: dict[str, list[str]] = {}
    for mesh, path in ((Mesh.ISTIO, ISTIO), (Mesh.KSERVE, KSERVE)):
        known = schemas(folder / path)
        for document in printed(mesh):
            version, kind = document["apiVersion"], document["kind"]
            for at in paths({"spec": document["spec"]}):
                fields = of_schema(known[version, kind], at)
                if at and fields is not None:
                    made[f"{version} {kind}{at}"] = fields
    for document in printed(Mesh.ENVOY):
        clusters = document.pop("clusters")
        for message, trees in zip(WHOLE, ([document], clusters), strict=True):
            made |= {
                f"{message}{at}": of_message(pool, message, at)
                for tree in trees
                for at in paths(tree)
            }
    return dict(sorted(made.items()))


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("definitions", type=Path)
    parser.add_argument("--table", type=Path)
    asked = parser.parse_args()
    folder: Path = asked.definitions
    pool = pool_of(folder)
    print(f"istio: {check_resources(Mesh.ISTIO, folder / ISTIO)} resources are as defined")
    print(f"kserve: {check_resources(Mesh.KSERVE, folder / KSERVE)} resources are as defined")
    print(f"envoy: {check_envoy(pool)} messages are as defined")
    if asked.table is not None:
        asked.table.write_text(json.dumps(table(folder, pool), indent=1) + "\n")


if __name__ == "__main__":
    main()
