"""Validates objects (a line of JSON each: [name, object]) against the schemas of Kubernetes, strictly: all from 1.29 on,
or those that are given as arguments."""

import json
import sys

import kubernetes_validate
from kubernetes_validate import utils


def versions():
    found = {tuple(int(part) for part in version.split(".")[:2]) for version in utils.all_versions()}
    return sorted(version for version in found if version >= (1, 29))


faults = []
validated = 0
wanted = sys.argv[1:] or [f"{major}.{minor}" for major, minor in versions()]
for line in sys.stdin:
    name, item = json.loads(line)
    for version in wanted:
        try:
            kubernetes_validate.validate(item, version, strict=True)
            validated += 1
        except kubernetes_validate.ValidationError as error:
            faults.append(f"{name} in {version}: {list(error.path)}: {error.message}")
json.dump({"versions": wanted, "validated": validated, "faults": faults}, sys.stdout)
