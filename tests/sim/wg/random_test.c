/*
 * Worlds at random: bad links, cuts, restarts, moves.  Whatever happened, no packet is accepted twice,
 * no counter is used twice, no old key is used (sim.c, rig.c), and when the links are good again data
 * arrives.  WARREN_SEED names one world; else some hundred are tried and each failure says its seed.
 */
#include "tests/sim/wg/sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#define WORLDS  120
#define WORKERS 2

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

	switch (sim_random(sim, 40)) {
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
	case 5:
		rig_event(&sim->node[a].rig, WG_EVENT_DOWN);
		rig_event(&sim->node[a].rig, WG_EVENT_UP);
		sim_settle(sim, a);
		break;
	case 6: {
		struct rig *rig = &sim->node[a].rig;

		wg_peer_keepalive_set(rig->device, sim->node[a].peer[b], (uint16_t)sim_random(sim, 30),
				      sim_now(sim), rig_effects(rig));
		sim_settle(sim, a);
		break;
	}
	default:
		for (uint64_t n = 1 + sim_random(sim, 5); n > 0; n--)
			sim_send(sim, a, b);
		break;
	}
	sim_run(sim, MILLISECONDS((nsec_t)sim_random(sim, 3000)));
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
		for (unsigned b = 0; b < sim->n_nodes; b++)
			if (a != b)
				wg_peer_endpoint_set(sim->node[a].rig.device, sim->node[a].peer[b],
						     &sim->node[b].at, sim_now(sim),
						     rig_effects(&sim->node[a].rig));
		sim_settle(sim, a);
	}
	for (unsigned i = 0; i < 50; i++) {
		if (i == 40)
			first = sim->n_packets + 1;
		for (unsigned a = 0; a < sim->n_nodes; a++)
			for (unsigned b = 0; b < sim->n_nodes; b++)
				if (a != b)
					sim_send(sim, a, b);
		sim_run(sim, SECONDS(1));
	}
	sim_run(sim, SECONDS(1));
	for (uint64_t i = first; i <= sim->n_packets; i++)
		if (!sim_arrived(sim, i))
			fail_msg("seed %llu: packet %llu of good times did not arrive",
				 (unsigned long long)sim->seed, (unsigned long long)i);
}

static void
world(uint64_t seed)
{
	struct sim *sim = sim_new_wide(2 + seed % 2, seed, 1 + seed % WORKERS);

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
	const char *seed = getenv("WARREN_SEED");

	if (seed) {
		world(strtoull(seed, NULL, 0));
		return;
	}
	for (uint64_t i = 1; i <= WORLDS; i++) {
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
