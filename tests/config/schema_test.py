#!/usr/bin/python3
"""config/imapmux.schema.json on files: what the program takes, the schema takes; and of what the program refuses, the schema
refuses what concerns one key alone. The schema itself is compared with the tables by unit_config."""
import json
import pathlib
import sys

import jsonschema
import yaml

SOURCE = pathlib.Path(__file__).resolve().parents[2]
CORPUS = SOURCE / "tests/config"

# Files that are wrong for reasons no schema can know: other files, the machine, what several keys mean together, syntax within a
# text, or YAML as such.
BEYOND_A_SCHEMA = set("""
    admin_beyond_loopback admin_bind_bad admin_bind_taken admin_metrics_token_is_no_token
    admin_metrics_token_twice admin_token_file_empty
    admin_token_file_missing admin_token_twice backend_ca backend_master_user backend_max_connections
    backend_servers backend_tls_keys_without_tls backend_unrestricted_conflicts backend_without_servers certificate_missing
    certificate_names control_in_text durations_out_of_range environment_syntax environment_unset listener_client_ca
    listener_plaintext_login listener_same_name_and_address listener_tls_keys_without_tls
    listener_tls_without_certificate proxy_protocol route_login_as route_references route_source route_target
    route_users_file_broken route_users_file_faulty route_users_file_missing routes_missing sizes_out_of_range
    spool_directory_is_a_file spool_directory_missing spool_less_than_a_message trace_client_name trace_empty
    trusted_networks
""".split())


class Core(yaml.SafeLoader):
    """YAML 1.2's core schema, as the program and editors read it: `off` and `0660` are what they look like."""


Core.yaml_implicit_resolvers = {}
for tag, pattern, first in (("bool", r"^(?:true|false)$", "tf"), ("int", r"^(?:0|[1-9][0-9]*)$", "0123456789"),
                            ("null", r"^(?:~|null|)$", ["~", "n", ""])):
    Core.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", yaml.resolver.re.compile(pattern), list(first))


def no_duplicates(loader, node, deep=False):
    keys = [key.value for key, _ in node.value]
    if len(keys) != len(set(map(str, keys))):
        raise yaml.YAMLError(f"duplicate keys: {keys}")
    return yaml.SafeLoader.construct_mapping(loader, node, deep)


Core.construct_mapping = no_duplicates


def complaint(validator, path):
    """Why an editor would object; nothing if it is content."""
    try:
        data = yaml.load(path.read_bytes(), Core)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        return f"no YAML: {error}"
    error = jsonschema.exceptions.best_match(validator.iter_errors(data))
    return error and f"{error.json_path}: {error.message}"


def main():
    schema = json.loads((SOURCE / "config/imapmux.schema.json").read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    problems = []
    valid = [SOURCE / "config/imapmux.yaml", SOURCE / "docker/compose-config.yaml", *(CORPUS / "valid").glob("*.yaml"),
             *(path for path in (SOURCE / "config/examples").glob("*.yaml") if path.name != "users.yaml")]
    for path in valid:
        if why := complaint(validator, path):
            problems.append(f"{path.relative_to(SOURCE)} is fine, but the schema says {why}")
    invalid = sorted((CORPUS / "invalid").glob("*.yaml"))
    for path in invalid:
        refused, expected = complaint(validator, path) is not None, path.stem not in BEYOND_A_SCHEMA
        if refused != expected:
            problems.append(f"{path.stem}: the schema {'refuses it: take it off the list' if refused else 'takes it'}")
    for stem in BEYOND_A_SCHEMA - {path.stem for path in invalid}:
        problems.append(f"{stem}: there is no such file")
    print("\n".join(problems) or f"{len(valid)} files are taken, {len(invalid) - len(BEYOND_A_SCHEMA)} refused")
    return bool(problems)


sys.exit(main())
