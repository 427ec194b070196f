"""Size: memory, what it takes to load, change and list 100,000 peers, a storm of their handshakes, 1,000 domains."""
import statistics

import gateway as gateways
import machine
import uapi

FEW = 10
CHANGES = 25
WINDOW = 128    # of a storm: what comes at once


def memory(lab, program, scale):
    """Resident with few peers, and for each of many idle ones; and the UAPI's times for these."""
    gateway = gateways.Gateway(lab, program)
    pid = gateway.process.pid
    uapi.set_lines(gateway.ifname, gateways.random_peers(FEW))
    few = machine.resident(pid)
    peers = gateways.random_peers(scale.loaded)
    loading = uapi.set_lines(gateway.ifname, ["replace_peers=true", *peers])
    many = machine.resident(pid)
    one = peers[len(peers) // 2].splitlines()[0]
    changing = [uapi.set_lines(gateway.ifname, [one, f"persistent_keepalive_interval={20 + i % 2}"]) for i in range(CHANGES)]
    answer, listing = uapi.request(gateway.ifname, "get=1\n\n")
    gateway.close()
    if answer.count("public_key=") != scale.loaded:
        raise AssertionError(f"of {scale.loaded} peers {answer.count('public_key=')} are listed")
    return {"memory": {"few": few / 2**20, "per_peer": (many - few) / scale.loaded / 1024},
            "uapi": {"load": loading, "change": statistics.median(changing) * 1e3, "get": listing}}


def storm(lab, program, scale):
    """All peers shake hands for the first time, at once."""
    gateway = gateways.Gateway(lab, program)
    gateway.crowd_allow(scale.loaded)
    crowd = gateway.crowd("handshakes", scale.loaded, 1, WINDOW)
    cpu = gateway.cpu()
    said = crowd.run()
    cpu = gateway.cpu() - cpu
    resident = machine.resident(gateway.process.pid)
    gateway.close()
    if said["authentic"] != said["verified"]:
        raise AssertionError(f"answers that are none: {said}")
    return {"storm": {"seconds": said["seconds"], "clients": 100 * said["clients"] / scale.loaded, "cookies": said["cookies"],
                      "per_second": said["answered"] / said["seconds"], "per_cpu_second": said["answered"] / cpu,
                      "resident": resident / 2**20}}
