/*
 * A world of devices with one clock: links drop, delay, duplicate and reorder what passes, and the
 * trace of what happened is what a test asserts.  Below it are the real device and paths (rig.h,
 * which also checks the rules that hold always: no counter twice, no key beyond its age).
 *
 * A line of the trace:
 *     TIME NAME > initiation|response|cookie|data|keepalive   a datagram was sent
 *     TIME NAME = N                                           packet N was delivered
 *     TIME NAME ! DROP                                        a datagram went no further, and why
 */
#ifndef TESTS_SIM_WG_SIM_H
#define TESTS_SIM_WG_SIM_H

#include "tests/unit/wg/rig.h"

#define SIM_NODES   6
#define SIM_DOMAINS 3 /* of a node, at most */
#define SIM_PACKETS (1U << 16)
#define SIM_DELAY   MILLISECONDS(10)

struct sim_link {
	nsec_t delay, jitter; /* jitter reorders */
	unsigned drop, twice; /* of 1000 datagrams */
	bool cut;
};

/* What a node was told of a peer's access, as it has to hold. */
struct sim_access {
	enum wg_access state;
	time_t at;
	struct wg_end end;
};

struct sim_node {
	const char *name;
	struct rig rig;
	struct wg_domain *domain[SIM_DOMAINS];
	struct sim_access access[SIM_NODES];
	nsec_t wall_off, wall_most; /* its wall clock is that much ahead; and was at most */
	nsec_t asleep;              /* suspended until then */
	struct endpoint at; /* where its datagrams come from and go to */
	struct wg_peer *peer[SIM_NODES];
	unsigned lose[5]; /* the next so many datagrams that it sends, by type; [0]: of any */
	unsigned sent[5];
};

struct sim_packet {
	uint8_t from, to;
	bool taken; /* sealed or staged, not refused */
	unsigned delivered;
	nsec_t sent, arrived;
};

struct sim {
	struct sim_node node[SIM_NODES];
	unsigned n_nodes;
	struct sim_link link[SIM_NODES][SIM_NODES];
	nsec_t now; /* since the start */
	uint64_t seed, random;
	struct sim_packet *packets;
	uint64_t n_packets;
	char *trace;
	size_t trace_len, trace_max;
	struct sim_flight *flights;
	uint64_t n_flights;
	unsigned workers, domains;
};

/* A world of so many nodes (alice, bob, carol, ...), all peers of each other if @meshed. */
struct sim *sim_new(unsigned nodes, uint64_t seed, bool meshed);
void sim_free(struct sim *sim);
/* So many workers and domains each; for the random runs.  Peers are in a domain by chance. */
struct sim *sim_new_wide(unsigned nodes, uint64_t seed, unsigned workers, unsigned domains);

enum { ALICE, BOB, CAROL, DAVE };

/* Makes @b a peer of @a; with its endpoint, or not. */
void sim_peer(struct sim *sim, unsigned a, unsigned b, bool endpoint);
/* A new device of the same identity that knows its peers by key and endpoint only. */
void sim_restart(struct sim *sim, unsigned node);

/* A packet into @from's TUN for @to; its number, counted from 1.  Whatever became of it. */
uint64_t sim_send(struct sim *sim, unsigned from, unsigned to);
bool sim_arrived(const struct sim *sim, uint64_t packet);
void sim_link_all(struct sim *sim, const struct sim_link *link);
void sim_lose(struct sim *sim, unsigned node, uint32_t type, unsigned n);
void sim_move(struct sim *sim, unsigned node, const char *endpoint);
/* A node's wall clock is set. */
void sim_wall_set(struct sim *sim, unsigned node, nsec_t off);
/* A node neither hears nor does anything for so long; its boot time goes on. */
void sim_suspend(struct sim *sim, unsigned node, nsec_t duration);
/*
 * What @a is told of @b's access; @end: from now on its clock, 0 for none.  From then on no packet of @b is
 * delivered at @a and nothing goes from @a to @b while it holds, whatever the clocks do.
 */
void sim_access(struct sim *sim, unsigned a, unsigned b, enum wg_access state, nsec_t end);
/* What each sends with is what the other receives with, for all pairs. */
void sim_sessions_agree(struct sim *sim);
/* Carries out what the device's own functions caused at @node. */
void sim_settle(struct sim *sim, unsigned node);
struct wg_now sim_now(const struct sim *sim);
struct wg_now sim_now_at(const struct sim *sim, unsigned node);

void sim_run_until(struct sim *sim, nsec_t now);
void sim_run(struct sim *sim, nsec_t duration);
uint64_t sim_random(struct sim *sim, uint64_t below);

/*
 * What happened since the last time.  A TIME is seconds with three decimals, exactly, or a range
 * "5.000-5.400".
 */
#define expect_trace(sim, expected) sim_expect(sim, expected, __FILE__, __LINE__)
void sim_expect(struct sim *sim, const char *expected, const char *file, int line);
void sim_forget(struct sim *sim);

#endif
