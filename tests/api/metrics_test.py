"""The figures: what is said of a scripted tunnel, as Prometheus' own parser reads it, and to whom."""
import json
import subprocess

from lab import main, program, skip, test
from rig import Client, Control, Postgres, ScriptedNet, ScriptedTunnel, in_hex, key

# Debian's package is for Debian's interpreter, which need not be the one that runs this.
PARSER = """
import json, sys
from prometheus_client.parser import text_string_to_metric_families as families
print(json.dumps([[f.name, f.type, f.documentation, [[s.name, s.labels, s.value] for s in f.samples]] for f in families(sys.stdin.read())]))
"""


def read(text):
    """{sample name: {labels as sorted pairs: value}}; each family has a type and words, and each sample comes once."""
    done = subprocess.run(["/usr/bin/python3", "-c", PARSER], input=text, capture_output=True, text=True)
    if "No module named" in done.stderr:
        skip("python3-prometheus-client is not installed")
    assert done.returncode == 0, done.stderr
    found = {}
    for name, kind, words, samples in json.loads(done.stdout):
        assert name.startswith("warren_") and kind in ("counter", "gauge") and words.endswith("."), (name, kind, words)
        for sample, labels, value in samples:
            assert (kind == "counter") == sample.endswith("_total"), (sample, kind)
            place = found.setdefault(sample, {})
            labels = tuple(sorted(labels.items()))
            assert labels not in place, (sample, labels)
            place[labels] = value
    return found


class Tunnel(ScriptedTunnel):
    def state(self):
        return super().state().replace("warren_aead=", "warren_workers=2\nwarren_handoff_in=5\nwarren_handoff_out=6\nwarren_calls_tun_read=10\n"
                                       "warren_segments_tun_read=450\nwarren_rung_udp4_gso=down 2 1 0\nwarren_aead=", 1)


@test
def every_figure_is_there_and_read_by_prometheus(lab):
    control = Control(lab, Postgres(lab).url)
    api, net = Client(control), ScriptedNet(control)
    tunnel = Tunnel(control)
    api.database_up()
    api.until("/api/v1/health", lambda h: h["tunnel"], "the tunnel")
    k = key()
    api.post("/api/v1/peers", {"name": "secretname", "public_key": k}, 201)
    gone = key()
    api.post("/api/v1/peers", {"name": "other", "public_key": gone}, 201)
    tunnel.peers[in_hex(k)].update(rx=1000, tx=50)
    tunnel.peers[in_hex(gone)].update(rx=7, tx=3)
    text = api.get("/api/v1/metrics")
    assert "secretname" not in text and k not in text and in_hex(k) not in text
    found = read(text)
    for name, labels, value in (
            ("warren_tunnel_up", {}, 1), ("warren_database_up", {}, 1), ("warren_net_up", {}, 1), ("warren_workers", {}, 2),
            ("warren_calls_total", {"call": "tun_read"}, 10), ("warren_packets_total", {"call": "tun_read"}, 450),
            ("warren_dropped_packets_total", {"reason": "mac1"}, 3), ("warren_handoffs_total", {"direction": "in"}, 5),
            ("warren_handoffs_total", {"direction": "out"}, 6), ("warren_rung", {"rung": "udp4_gso", "state": "down"}, 1),
            ("warren_rung", {"rung": "udp4_gso", "state": "on"}, 0), ("warren_rung", {"rung": "tun_tso", "state": "on"}, 1),
            ("warren_rung_downs_total", {"rung": "udp4_gso"}, 2), ("warren_rung_ups_total", {"rung": "udp4_gso"}, 1),
            ("warren_peers", {"state": "active"}, 2), ("warren_received_bytes_total", {}, 1007), ("warren_sent_bytes_total", {}, 53),
            ("warren_changes_total", {}, 2), ("warren_changes_applied_total", {}, 2), ("warren_handshakes_total", {}, 0),
            ("warren_aead_info", {"aead": "sodium"}, 1)):
        assert found[name][tuple(sorted(labels.items()))] == value, (name, labels, found.get(name))
    # A peer that goes takes nothing away, a counter that begins anew adds.
    api.delete("/api/v1/peers/other")
    tunnel.peers[in_hex(k)].update(rx=100, tx=60)
    tunnel.event(in_hex(k), "192.0.2.1:1", 1796000000)
    api.until("/api/v1/peers/secretname", lambda p: p["online"] or p["last_handshake_at"], "the handshake")
    found = read(api.get("/api/v1/metrics"))
    assert found["warren_received_bytes_total"][()] == 1107 and found["warren_handshakes_total"][()] == 1, found
    tunnel.asked.shutdown(2)
    api.until("/api/v1/health", lambda h: not h["tunnel"], "the tunnel to be missed")
    found = read(api.get("/api/v1/metrics"))
    assert found["warren_tunnel_up"][()] == 0 and "warren_workers" not in found and found["warren_received_bytes_total"][()] == 1107


@test
def strangers_get_figures_only_where_they_are_served(lab):
    control = Control(lab, Postgres(lab).url)
    Client(control).database_up()
    for door, path, status in (("metrics", "/metrics", 200), ("metrics", "/api/v1/metrics", 401), ("metrics", "/api/v1/status", 401),
                               ("metrics", "/api/v1/peers", 401), ("metrics", "/health", 503), (True, "/metrics", 401), (False, "/metrics", 200)):
        assert Client(control, tcp=door).ask("GET", path)[0] == status, (door, path)
    assert Client(control, tcp="metrics").ask("POST", "/metrics")[0] in (401, 405)
    printed = subprocess.run([program("warren"), "metrics"], capture_output=True, text=True,
                             env={"WARREN_ADMIN_SOCKET": control.admin_path, "HOME": lab.dir, "PATH": "/usr/bin:/bin"})
    assert printed.returncode == 0 and read(printed.stdout)["warren_database_up"][()] == 1, printed


main()
