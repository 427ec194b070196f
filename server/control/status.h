/*
 * How the gateway stands, and what is wrong, in words with what to do about it.  Composed from the
 * board, the configuration and what the host says; needs no database.
 */
#ifndef SERVER_CONTROL_STATUS_H
#define SERVER_CONTROL_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
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
	size_t n_offloads, n_drops;
	struct uapi_word offloads[UAPI_OFFLOADS_MAX];
	struct status_drop drops[UAPI_DROPS_MAX];
	pid_t namespace_pid; /* 0: not known */
	bool has_peers;
	struct wanted_counts peers;
	size_t n_troubles;
	struct status_trouble troubles[STATUS_TROUBLES_MAX];
};

/* Besides the board, all that goes into it. */
struct status_facts {
	const struct config *config;
	const struct reach *reach;
	size_t n_resolvers;
	nsec_t started, now; /* boot time */
	time_t started_at, wall;
	const char *(*drop_words)(const char *name); /* never NULL answers */
};

/* The board's lock is held. */
void status_compose(const struct board *board, const struct status_facts *facts, struct status *ret);

#endif
