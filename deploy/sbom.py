"""Writes what the program is made of, as CycloneDX 1.5, out of `cargo metadata` and Cargo.lock: every crate that a build for
this machine takes, with its version, licence, checksum and what it needs. Nothing that only tests or builds need is in it."""

import hashlib
import json
import re
import subprocess
import sys
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def checksums():
    """Checksums of crates as the lock file has them."""
    text = (ROOT / "Cargo.lock").read_text()
    found = {}
    for block in text.split("[[package]]")[1:]:
        fields = dict(re.findall(r'^(name|version|checksum) = "(.*)"$', block, re.M))
        if "checksum" in fields:
            found[fields["name"], fields["version"]] = fields["checksum"]
    return found


def reached(metadata):
    """Crates that the program is linked of: by normal dependencies alone, from the root on."""
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    waiting, seen = [metadata["resolve"]["root"]], {}
    while waiting:
        one = waiting.pop()
        if one in seen:
            continue
        seen[one] = [of["pkg"] for of in nodes[one]["deps"] if any(kind["kind"] is None for kind in of["dep_kinds"])]
        waiting.extend(seen[one])
    return seen


def main():
    host = re.search(r"^host: (.*)$", subprocess.run(["rustc", "-vV"], check=True, capture_output=True, text=True).stdout, re.M).group(1)
    told = subprocess.run(["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", host], cwd=ROOT, check=True,
                          capture_output=True, text=True).stdout
    metadata = json.loads(told)
    packages = {package["id"]: package for package in metadata["packages"]}
    sums, linked = checksums(), reached(metadata)
    root = metadata["resolve"]["root"]

    def name_of(one):
        package = packages[one]
        return f"pkg:cargo/{package['name']}@{package['version']}"

    def component(one):
        package = packages[one]
        made = {"type": "application" if one == root else "library", "bom-ref": name_of(one), "name": package["name"],
                "version": package["version"], "purl": name_of(one)}
        if package.get("description"):
            made["description"] = " ".join(package["description"].split())
        if package.get("license"):
            made["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
        checksum = sums.get((package["name"], package["version"]))
        if checksum:
            made["hashes"] = [{"alg": "SHA-256", "content": checksum}]
        if package.get("repository"):
            made["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
        return made

    ids = sorted((one for one in linked if one != root), key=name_of)
    # The same program has the same number: it is made of what it lists.
    listed = "\n".join(f"{name_of(one)} {sums.get((packages[one]['name'], packages[one]['version']), '')}" for one in ids)
    serial = uuid.UUID(bytes=hashlib.sha256(listed.encode()).digest()[:16], version=4)
    json.dump({
        "bomFormat": "CycloneDX", "specVersion": "1.5", "serialNumber": f"urn:uuid:{serial}", "version": 1,
        "metadata": {"component": component(root), "tools": {"components": [{"type": "application", "name": "deploy/sbom.py"}]}},
        "components": [component(one) for one in ids],
        "dependencies": [{"ref": name_of(one), "dependsOn": sorted({name_of(of) for of in linked[one]})} for one in [root, *ids]],
    }, sys.stdout, indent=1)
    print()


main()
