/*
 * How the gateway stands, and what is wrong, in words with what to do about it.  Composed from the
 * board, the configuration and what the host says; needs no database.
 */
#ifndef SERVER_CONTROL_STATUS_H
#define SERVER_CONTROL_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>

#include "base/clock.h"
#include "server/control/board.h"
#include "server/control/reach.h"
#include "server/proc/config.h"

#define SILENCE_SECONDS     30 /* a peer was added, and nothing at all has come */
#define STATUS_TROUBLES_MAX 32
#define STATUS_CAUSES_MAX   4

struct status_trouble {
	char code[56], words[BOARD_WORDS_LEN], remedy[BOARD_WORDS_LEN]; /* remedy empty: none */
};

struct status_process {
	const char *name; /* "control", "database", "tunnel", "net" */
	bool up;
	char words[BOARD_WORDS_LEN];
};
#define STATUS_PROCESSES 4

struct status_drop {
	char name[UAPI_NAME_LEN];
	uint64_t count;
	const char *words;
};

/* What is fast, or why it is not. */
struct status_rung {
	struct uapi_rung said;
	const char *cost, *remedy; /* of being without; "" : not known here */
};

struct status {
	time_t started_at;
	int64_t uptime;
	char data_dir[CONFIG_PATH_LEN];
	struct reach reach;
	uint16_t listen_port;
	bool has_key;
	struct public_key key;
	const char *uplink_kind; /* "pasta", "interface" */
	char uplink_ifname[IFNAMSIZ];
	bool uplink_up;
	char world_sees[8]; /* empty: not known */
	char uplink_words[256];
	struct status_process processes[STATUS_PROCESSES];
	bool has_received, has_waited, silent;
	uint64_t received;
	int64_t waited;
	size_t n_causes;
	char causes[STATUS_CAUSES_MAX][BOARD_WORDS_LEN];
	char aead[UAPI_NAME_LEN]; /* empty: not known */
	bool has_tunnel;          /* what follows is known, up to the drops */
	uint64_t workers, handoff_in, handoff_out;
	size_t n_rungs, n_drops, n_calls;
	struct status_rung rungs[UAPI_RUNGS_MAX];
	struct uapi_calls calls[UAPI_CALLS_MAX];
	struct status_drop drops[UAPI_DROPS_MAX];
	pid_t namespace_pid; /* 0: not known */
	bool has_peers;
	struct wanted_counts peers;
	size_t n_troubles;
	struct status_trouble troubles[STATUS_TROUBLES_MAX];
};

/* The tunnel's names in words; its own files have them, and whoever starts control hands them over. */
struct status_words {
	const char *(*drop)(const char *name); /* never NULL answers */
	void (*rung)(const char *name, const char **cost, const char **remedy);
};

/* A rung that is not there, or is no more. */
static inline bool
status_rung_is_missing(const struct status_rung *rung)
{
	return strcmp(rung->said.state, "on") != 0;
}

/* Besides the board, all that goes into it. */
struct status_facts {
	const struct config *config;
	const struct reach *reach;
	size_t n_resolvers;
	nsec_t started, now; /* boot time */
	time_t started_at, wall;
	const struct status_words *words;
};

/* The board's lock is held. */
void status_compose(const struct board *board, const struct status_facts *facts, struct status *ret);

#endif
