"""Control with the real tunnel process at the other end of its channels."""
import re
import subprocess

from lab import main, test, wait_until
from rig import Client, Control, Postgres, RealTunnel, ScriptedNet, in_hex, key, time


@test
def the_tunnel_process_has_each_change_when_the_answer_says_so(lab):
    control = Control(lab, Postgres(lab).url)
    api, net = Client(control), ScriptedNet(control)
    tunnel = RealTunnel(lab, control)
    api.database_up()
    api.until("/api/v1/health", lambda h: h["tunnel"], "the tunnel to be seen")
    k = key()
    made = api.post("/api/v1/peers", {"name": "laptop", "public_key": k, "routes": ["192.0.2.0/24"]}, 201)
    assert made["applied"] and made["config"]["gateway_public_key"] == tunnel.public
    def peers():
        text = api.get("/api/v1/wg")
        return {m[1]: sorted(re.findall(r"allowed_ip=(\S+)", m[2]))
                for m in re.finditer(r"^public_key=(\w+)\n(.*?)(?=^public_key|^errno)", text, re.M | re.S)}
    assert peers() == {in_hex(k): sorted(made["addresses"] + ["192.0.2.0/24"])}
    for action, body in (("disable", None), ("enable", None), ("renew", {"expires_at": "2099-01-01T00:00:00Z"})):
        assert api.post(f"/api/v1/peers/laptop/{action}", body)["applied"], action
    k2 = key()
    assert api.post("/api/v1/peers/laptop/rekey", {"public_key": k2})["applied"] and list(peers()) == [in_hex(k2)]
    assert api.delete("/api/v1/peers/laptop")["applied"] and peers() == {}
    status = api.get("/api/v1/status")
    assert status["tunnel"]["aead"] and {r["name"] for r in status["tunnel"]["ladder"]} >= {"aead", "tun_vnet_hdr"} and status["namespace_pid"] == tunnel.process.pid
    assert "tunnel_refuses" not in {t["code"] for t in status["trouble"]}


@test
def a_real_handshake_is_seen_and_ends_the_wait(lab):
    control = Control(lab, Postgres(lab).url)
    api, net = Client(control), ScriptedNet(control)
    tunnel = RealTunnel(lab, control)
    api.database_up()
    private = subprocess.run(["wg", "genkey"], check=True, capture_output=True, text=True).stdout
    public = subprocess.run(["wg", "pubkey"], check=True, capture_output=True, text=True, input=private).stdout.strip()
    assert api.post("/api/v1/peers", {"name": "phone", "public_key": public}, 201)["applied"]
    lab.processes.append(__import__("lab").Process(["wireguard-go", "-f", "wgc"], lab.dir + "/log.client"))
    wait_until(lambda: subprocess.run(["wg", "show", "wgc"], capture_output=True).returncode == 0, "the client")
    subprocess.run(["wg", "set", "wgc", "private-key", lab.file("key", private), "peer", tunnel.public, "endpoint",
                    f"127.0.0.1:{tunnel.port}", "persistent-keepalive", "25", "allowed-ips", "0.0.0.0/0"], check=True)
    subprocess.run(["ip", "link", "set", "wgc", "up"], check=True)
    seen = api.get("/api/v1/peers/phone?wait=handshake&timeout=25")
    assert seen["online"] and seen["endpoint"].startswith("127.0.0.1:") and seen["last_handshake_age"] < 20


main()
