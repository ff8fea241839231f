"""Says which values (a line of JSON each: [name, values]) the schema, which is the argument, has something against."""

import json
import sys

import jsonschema

with open(sys.argv[1], encoding="utf-8") as file:
    schema = json.load(file)
jsonschema.Draft7Validator.check_schema(schema)
validator = jsonschema.Draft7Validator(schema)
faults = {}
for line in sys.stdin:
    name, values = json.loads(line)
    faults[name] = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(values)]
json.dump(faults, sys.stdout)
