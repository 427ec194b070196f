/*
 * Worlds at random: bad links, cuts, restarts, moves, clocks that jump, machines that sleep, ends of access,
 * several workers and domains in each node.  Whatever happened, no packet is accepted twice, no counter is
 * used twice, no old key is used, nothing passes after an end (sim.c, rig.c), and when the links are good
 * again data arrives within the protocol's worst case and both ends of every session agree.  WARREN_SEED
 * names one world, WARREN_SEEDS how many are tried; each failure says its seed.
 */
#include "tests/sim/wg/sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#define WORLDS 200

static void
link_randomly(struct sim *sim)
{
	for (unsigned a = 0; a < sim->n_nodes; a++)
		for (unsigned b = 0; b < sim->n_nodes; b++)
			sim->link[a][b] = (struct sim_link){
				.delay = MILLISECONDS(1 + (nsec_t)sim_random(sim, 200)),
				.jitter = MILLISECONDS((nsec_t)sim_random(sim, 300)),
				.drop = (unsigned)sim_random(sim, 300),
				.twice = (unsigned)sim_random(sim, 200),
				.cut = sim_random(sim, 10) == 0,
			};
}

static void
happen(struct sim *sim)
{
	const unsigned a = (unsigned)sim_random(sim, sim->n_nodes);
	const unsigned b = (a + 1 + (unsigned)sim_random(sim, sim->n_nodes - 1)) % sim->n_nodes;
	char place[32];

	if (sim->node[a].asleep > sim->now) {
		sim_run(sim, SECONDS(1));
		return;
	}
	switch (sim_random(sim, 50)) {
	case 0:
		link_randomly(sim);
		break;
	case 1:
		sim_restart(sim, a);
		break;
	case 2:
		snprintf(place, sizeof(place), "198.51.100.%u:%u", a + 1,
			 (unsigned)(1 + sim_random(sim, 65535)));
		sim_move(sim, a, place);
		break;
	case 3:
		sim->node[a].rig.loaded = !sim->node[a].rig.loaded;
		break;
	case 4:
		sim_run(sim, SECONDS((nsec_t)sim_random(sim, 200)));
		break;
	case 5: {
		struct wg_domain *domain = sim->node[a].domain[sim_random(sim, sim->domains)];

		rig_event_in(&sim->node[a].rig, WG_EVENT_DOWN, domain);
		rig_event_in(&sim->node[a].rig, WG_EVENT_UP, domain);
		sim_settle(sim, a);
		break;
	}
	case 6: {
		struct rig *rig = &sim->node[a].rig;

		wg_peer_keepalive_set(rig->device, sim->node[a].peer[b], (uint16_t)sim_random(sim, 30),
				      sim_now_at(sim, a), rig_effects(rig));
		sim_settle(sim, a);
		break;
	}
	case 7: /* an hour either way */
		sim_wall_set(sim, a, SECONDS((nsec_t)sim_random(sim, 7200) - 3600));
		break;
	case 8:
		sim_suspend(sim, a, SECONDS(1 + (nsec_t)sim_random(sim, 400)));
		break;
	case 9:
		sim_access(sim, a, b, WG_ACTIVE, SECONDS(1 + (nsec_t)sim_random(sim, 60)));
		break;
	case 10:
		sim_access(sim, a, b, sim_random(sim, 2) ? WG_CUT : WG_QUARANTINED, 0);
		break;
	case 11:
	case 12:
		sim_access(sim, a, b, WG_ACTIVE, 0);
		break;
	case 13: {
		struct rig *rig = &sim->node[a].rig;

		wg_peer_rate_set(rig->device, sim->node[a].peer[b], sim_random(sim, 2) * 1000,
				 sim_random(sim, 2) * 1000, rig_effects(rig));
		sim_settle(sim, a);
		break;
	}
	case 14: { /* at both ends, one after the other */
		struct preshared_key psk = {{(uint8_t)sim_random(sim, 256)}};

		wg_peer_psk_set(sim->node[a].rig.device, sim->node[a].peer[b], &psk);
		sim_run(sim, MILLISECONDS((nsec_t)sim_random(sim, 3000)));
		wg_peer_psk_set(sim->node[b].rig.device, sim->node[b].peer[a], &psk);
		break;
	}
	default:
		for (uint64_t n = 1 + sim_random(sim, 5); n > 0; n--)
			sim_send(sim, a, b);
		break;
	}
	sim_run(sim, MILLISECONDS((nsec_t)sim_random(sim, 3000)));
}

/* In some worlds one end of each pair only listens: it cannot help. */
static bool
speaks(const struct sim *sim, unsigned a, unsigned b)
{
	switch (sim->seed % 3) {
	case 0:
		return a != b;
	case 1:
		return a < b;
	default:
		return a > b;
	}
}

static void
unlimit(struct sim *sim, unsigned a, unsigned b)
{
	static const struct preshared_key none;
	struct rig *rig = &sim->node[a].rig;
	struct wg_peer *peer = sim->node[a].peer[b];

	sim_access(sim, a, b, WG_ACTIVE, 0);
	wg_peer_rate_set(rig->device, peer, 0, 0, rig_effects(rig));
	wg_peer_psk_set(rig->device, peer, &none);
	wg_peer_endpoint_set(rig->device, peer, &sim->node[b].at, sim_now_at(sim, a), rig_effects(rig));
}

/*
 * All links good: whoever moved is found again (the endpoint is set, as control would), and what is sent
 * 40 s later arrives.  15 s until unanswered data starts a handshake, 5 s and a bit for each that crossed.
 */
static void
heal(struct sim *sim)
{
	uint64_t first = 0;

	sim_link_all(sim, &(struct sim_link){.delay = SIM_DELAY});
	for (unsigned a = 0; a < sim->n_nodes; a++) {
		sim->node[a].rig.loaded = false;
		sim->node[a].asleep = 0;
		for (unsigned b = 0; b < sim->n_nodes; b++)
			if (a != b)
				unlimit(sim, a, b);
		sim_settle(sim, a);
	}
	for (unsigned i = 0; i < 50; i++) {
		if (i == 40)
			first = sim->n_packets + 1;
		for (unsigned a = 0; a < sim->n_nodes; a++)
			for (unsigned b = 0; b < sim->n_nodes; b++)
				if (speaks(sim, a, b))
					sim_send(sim, a, b);
		sim_run(sim, SECONDS(1));
	}
	sim_run(sim, SECONDS(1));
	for (uint64_t i = first; i <= sim->n_packets; i++)
		if (!sim_arrived(sim, i))
			fail_msg("seed %llu: packet %llu of good times did not arrive",
				 (unsigned long long)sim->seed, (unsigned long long)i);
	sim_sessions_agree(sim);
}

static void
world(uint64_t seed)
{
	struct sim *sim = sim_new_wide(2 + (unsigned)(seed % 3), seed, 1 + (unsigned)(seed / 3 % RIG_WORKERS),
				       1 + (unsigned)(seed / 2 % SIM_DOMAINS));

	for (unsigned a = 0; a < sim->n_nodes; a++)
		for (unsigned b = 0; b < sim->n_nodes; b++)
			if (a != b)
				sim_peer(sim, a, b, true);
	link_randomly(sim);
	for (unsigned i = 0; i < 120; i++)
		happen(sim);
	heal(sim);
	sim_free(sim);
}

static void
random_worlds_keep_the_rules_and_heal(void **state)
{
	const char *seed = getenv("WARREN_SEED"), *seeds = getenv("WARREN_SEEDS");
	const uint64_t n = seeds ? strtoull(seeds, NULL, 0) : WORLDS;

	if (seed) {
		world(strtoull(seed, NULL, 0));
		return;
	}
	for (uint64_t i = 1; i <= n; i++) {
		print_message("# seed %llu\n", (unsigned long long)i);
		world(i);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_worlds_keep_the_rules_and_heal),
	};

	return cmocka_run_group_tests_name("random", tests, NULL, NULL);
}
