"""Several tenants: a device, a table of allowed IPs and a UAPI socket for each, which come and go with it."""
import base64
import os
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "api"))
from gateway import Gateway, uplink  # noqa: E402
from lab import main, test, wait_until  # noqa: E402
from rig import Postgres, in_hex, key  # noqa: E402


def start(lab, **env):
    host, _ = uplink(lab)
    postgres = Postgres(lab)
    user = lab.user()
    secret = lab.file("url", postgres.url + "\n")
    os.chown(secret, user.pw_uid, user.pw_gid)
    os.chmod(secret, 0o600)
    gateway = Gateway(lab, host, WARREN_DATABASE_URL_FILE=secret, **env)
    gateway.start()
    return gateway, postgres


def tenant(postgres, name, pool):
    """A tenant by SQL; its number."""
    return int(postgres.sql("WITH t AS (INSERT INTO warren.tenant (id, name) VALUES (nextval('warren.tenant_id_seq'), '" + name + "') RETURNING id), "
                            f"p AS (INSERT INTO warren.pool (tenant_id, network) SELECT id, '{pool}' FROM t) SELECT id FROM t", database="warren"))


def peer(postgres, number, name, address, public):
    raw = base64.b64decode(public).hex()
    postgres.sql(
        f"INSERT INTO warren.tenant_user (tenant_id, name) VALUES ({number}, '{name}')",
        f"INSERT INTO warren.peer (tenant_id, user_id, name, public_key) SELECT {number}, id, '{name}', decode('{raw}', 'hex')"
        f" FROM warren.tenant_user WHERE tenant_id = {number} AND name = '{name}'",
        "INSERT INTO warren.lease (tenant_id, pool_id, peer_id, pool_offset, address, during)"
        f" SELECT {number}, o.id, p.id, host('{address}')::inet - host(network(o.network))::inet, '{address}', tstzrange(now(), NULL)"
        f" FROM warren.pool o, warren.peer p WHERE o.tenant_id = {number} AND p.tenant_id = {number} AND p.name = '{name}'", database="warren")


def drop(postgres, number):
    postgres.sql(*(f"DELETE FROM warren.{table} WHERE tenant_id = {number}" for table in ("lease", "peer", "tenant_user", "free_address", "pool")),
                 f"DELETE FROM warren.tenant WHERE id = {number}", database="warren")


def socket_of(gateway, name):
    return os.path.join(gateway.runtime, "wg", name + ".sock")


def peers(gateway, name):
    """{public key in hex: allowed IPs} as everybody's socket of that domain has it; None: there is no such socket."""
    try:
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(20)
            s.connect(socket_of(gateway, name))
            s.sendall(b"get=1\n\n")
            text = b""
            while not text.endswith(b"\n\n"):
                more = s.recv(65536)
                if not more:
                    return None
                text += more
    except OSError:
        return None
    found, at = {}, None
    for line in text.decode().splitlines():
        k, _, v = line.partition("=")
        if k == "public_key":
            at = found.setdefault(v, [])
        elif k == "allowed_ip":
            at.append(v)
    return found


def links(gateway):
    return {line.split(": ")[1].split("@")[0] for line in gateway.inner("ip", "-o", "link").stdout.splitlines()}


@test
def each_tenant_has_a_device_a_table_and_a_socket_and_they_go_with_it(lab):
    gateway, postgres = start(lab)
    gateway.warren("peer", "add", "alice", "--out", os.path.join(gateway.user.pw_dir, "alice.conf"))
    number, bob = tenant(postgres, "second", "10.99.0.0/16"), key()
    device = f"wg{number}"
    peer(postgres, number, "bob", "10.99.0.2", bob)
    wait_until(lambda: (peers(gateway, device) or {}).get(in_hex(bob)) == ["10.99.0.2/32"], "the second tenant's domain\n" + gateway.output()[-3000:])
    assert device in links(gateway) and "wg0" in links(gateway)
    first = peers(gateway, "wg0")
    assert len(first) == 1 and in_hex(bob) not in first and not any("10.99." in a for v in first.values() for a in v), first
    assert "10.99.0.1/16" in gateway.inner("ip", "-o", "address", "show", "dev", device).stdout
    # The device has a queue for each worker, in the hands of warrend and of the tunnel.
    workers = len([t for t in os.listdir(f"/proc/{gateway.pid('tunnel')}/task")]) - 1
    assert workers >= 1
    gateway.kill("tunnel")
    wait_until(lambda: (peers(gateway, device) or {}).get(in_hex(bob)) == ["10.99.0.2/32"] and peers(gateway, "wg0") == first,
               "both domains in a new tunnel")
    gateway.kill("net")
    gateway.wait_ready("net", 2)
    assert device in links(gateway)
    tunnel = gateway.pid("tunnel")
    drop(postgres, number)
    wait_until(lambda: device not in links(gateway) and not os.path.exists(socket_of(gateway, device)), "the device and its socket to go\n"
               + gateway.output()[-3000:])
    assert peers(gateway, "wg0") == first and gateway.pid("tunnel") == tunnel
    again = tenant(postgres, "third", "10.99.0.0/16")
    peer(postgres, again, "carol", "10.99.0.7", bob)  # the same key, which was in another domain
    wait_until(lambda: (peers(gateway, f"wg{again}") or {}).get(in_hex(bob)) == ["10.99.0.7/32"], "the third tenant's domain\n" + gateway.output()[-3000:])
    gateway.stop()


@test
def sixteen_tenants_stop_and_start_without_waiting_for_their_devices(lab):
    gateway, postgres = start(lab)
    numbers = [tenant(postgres, f"t{n}", f"10.{100 + n}.0.0/16") for n in range(15)]
    wait_until(lambda: {f"wg{n}" for n in numbers} <= links(gateway), "all devices\n" + gateway.output()[-3000:])
    wait_until(lambda: all(os.path.exists(socket_of(gateway, f"wg{n}")) for n in numbers), "all sockets")
    tenant(postgres, "beyond", "10.200.0.0/16")
    wait_until(lambda: "domains_too_many" in gateway.warren("status").stdout, "status to say that there are too many")
    for figure in ("stop", "stop again"):
        began = time.monotonic()
        gateway.stop()
        stopped = time.monotonic() - began
        gateway.start()
        wait_until(lambda: {f"wg{n}" for n in numbers} <= links(gateway), "all devices again")
        began = time.monotonic()
        gateway.kill("tunnel")
        wait_until(lambda: all(peers(gateway, f"wg{n}") is not None for n in numbers), "a new tunnel with all domains")
        print(f"# {len(numbers) + 1} devices: {figure} {stopped:.2f} s, the tunnel again with all domains {time.monotonic() - began:.2f} s")
    gateway.stop()


main()
