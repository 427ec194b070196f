#!/usr/bin/env python3
"""A gateway whose database is somebody else's server: WARREN_DATABASE_URL."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "api"))
from gateway import Gateway, uplink  # noqa: E402
from lab import main, test, wait_until  # noqa: E402
from rig import Postgres  # noqa: E402


def status(gateway):
    return json.loads(gateway.warren("status", "-o", "json").stdout)


def database(gateway):
    return next(p["state"] for p in status(gateway)["processes"] if p["name"] == "database")


@test
def a_gateway_with_anothers_database_has_no_cluster_and_outlives_its_absence(lab):
    host, _ = uplink(lab)
    postgres = Postgres(lab)
    user = lab.user()
    secret = os.path.join(user.pw_dir, "url")
    with open(secret, "w") as f:
        f.write(postgres.url + "\n")
    os.chown(secret, user.pw_uid, user.pw_gid)
    os.chmod(secret, 0o600)
    gateway = Gateway(lab, host, WARREN_DATABASE_URL_FILE=secret)
    gateway.start()
    assert not os.path.exists(os.path.join(gateway.data, "postgres"))
    assert "postgres" not in gateway.pids()
    gateway.warren("peer", "add", "alice")
    tunnel = gateway.pid("tunnel")
    postgres.stop()
    wait_until(lambda: database(gateway) == "down", "status to say that the database is down")
    refused = gateway.warren("peer", "add", "bob", check=False)
    assert refused.returncode != 0 and "database" in refused.stderr, refused
    postgres.start()
    wait_until(lambda: database(gateway) == "up", "the database to be back")
    gateway.warren("peer", "add", "bob")
    assert gateway.pid("tunnel") == tunnel
    gateway.stop()
    gateway.start()
    names = [p["name"] for p in json.loads(gateway.warren("peer", "list", "-o", "json").stdout)["peers"]]
    assert names == ["alice", "bob"], names
    gateway.stop()


main()
