"""A thousand tenants' devices, which no set of rules holds yet: what start, restart and stop of the tunnel cost."""
from lab import main, program, test

DEVICES, QUEUES = 1000, 2


@test
def a_thousand_devices_are_handed_over_again_and_nobody_waits_for_their_end(lab):
    done = lab.ns("host").run(program("tests/net/gateway/thousand"), program("warren-tunnel"), DEVICES, QUEUES, user=lab.user(), timeout=240)
    took = {what: int(ms) for what, ms in (line.split() for line in done.stdout.splitlines())}
    assert set(took) == {"ready", "restart", "stop", "closed", "deleted"}, done
    print(f"# {DEVICES} devices of {QUEUES} queues: first start {took['ready']} ms, tunnel again {took['restart']} ms, "
          f"stop {took['stop']} ms, our descriptors closed {took['closed']} ms, devices deleted {took['deleted']} ms")


main()
