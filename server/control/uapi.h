/*
 * The tunnel's words (docs/uapi.md) as values: a full answer, and an event of the watch.  Pure.
 *
 * Keys that we do not know are passed over, so that a newer tunnel can say more; what we know must be
 * well-formed, or nothing of the text counts.
 */
#ifndef SERVER_CONTROL_UAPI_H
#define SERVER_CONTROL_UAPI_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/ip.h"
#include "base/key.h"

#define UAPI_ALLOWED_MAX 512 /* allowed IPs of one peer in an answer */
#define UAPI_PEERS_MAX   200000
#define UAPI_NAME_LEN    32
#define UAPI_RUNGS_MAX   32
#define UAPI_DROPS_MAX   64
#define UAPI_CALLS_MAX   8
#define UAPI_DOMAINS_MAX 4096

struct allowed_ips {
	size_t n;
	struct cidr *v; /* owned; masked, sorted, none twice */
};

int allowed_ips_set(struct allowed_ips *ret, const struct cidr *v, size_t n) _must_check_;
void allowed_ips_done(struct allowed_ips *allowed);
bool allowed_ips_equal(const struct allowed_ips *a, const struct allowed_ips *b);
/* Whether all of @a are among @b. */
bool allowed_ips_within(const struct allowed_ips *a, const struct allowed_ips *b);

/* Masks, sorts and takes out what is there twice; the number that is left. */
size_t allowed_ips_tidy(struct cidr *v, size_t n);

/* State, its word. */
#define ACCESS_STATES(X)                                                                                     \
	X(ACTIVE, "active")                                                                                  \
	X(QUARANTINED, "quarantined")                                                                        \
	X(CUT, "cut")

enum access_state {
#define X(name, word) ACCESS_##name,
	ACCESS_STATES(X)
#undef X
		ACCESS_COUNT
};

const char *access_word(enum access_state state);

/* What the tunnel may be told of a peer's access, and what it says it holds. */
struct access {
	enum access_state state;
	time_t end; /* 0: none */
	struct allowed_ips allowed;
};

/* A tenant's, and its device's; what is longer is cut, and so nobody's here. */
struct domain_name {
	char text[IFNAMSIZ];
};

bool domain_name_equal(const struct domain_name *a, const struct domain_name *b);

struct tunnel_peer {
	struct domain_name domain; /* empty: the answer names none */
	struct public_key key;
	struct access access;
	struct endpoint endpoint; /* ip.family 0: not known */
	time_t last_handshake_at; /* 0: none */
	uint64_t rx_bytes, tx_bytes;
};

/* A rung of the ladder: state, how often it went down and up again, how much or how many (docs/uapi.md). */
struct uapi_rung {
	char name[UAPI_NAME_LEN], state[UAPI_NAME_LEN];
	uint64_t downs, ups, figure;
};

/* A way through the kernel's borders: calls, or superframes, and the packets in them. */
struct uapi_calls {
	char name[UAPI_NAME_LEN];
	uint64_t calls, segments;
};
struct uapi_count {
	char name[UAPI_NAME_LEN];
	uint64_t n;
};

/* Everything of a full answer that we use. */
struct tunnel_state {
	int error; /* 0, or the negative errno of the answer */
	bool has_key, has_datagrams;
	struct public_key key;
	char aead[UAPI_NAME_LEN];
	uint64_t datagrams;
	uint64_t workers; /* 0: not said */
	uint64_t handoff_in, handoff_out;
	size_t n_rungs, n_drops, n_calls, n_domains;
	struct domain_name *domains; /* owned; in the order of the answer */
	struct uapi_rung rungs[UAPI_RUNGS_MAX];
	struct uapi_calls calls[UAPI_CALLS_MAX];
	struct uapi_count drops[UAPI_DROPS_MAX];
	size_t n_peers, cap_peers;
	struct tunnel_peer *peers; /* owned; by key */
};

/*
 * One answer up to and with its errno line.  -ERR_MESSAGE: it is not of that form; @ret is then
 * empty.
 */
int tunnel_state_parse(struct tunnel_state *ret, const char *text, size_t len) _must_check_;
void tunnel_state_done(struct tunnel_state *state);

/* By binary search; NULL: none.  Lent. */
struct tunnel_peer *tunnel_state_peer(const struct tunnel_state *state, const struct public_key *key);

/* Makes room for a peer of @key in order, or finds it.  NULL: no memory. */
struct tunnel_peer *tunnel_state_ensure(struct tunnel_state *state, const struct public_key *key);
void tunnel_state_remove(struct tunnel_state *state, const struct public_key *key);

/* That there is one, or is none any more.  The first may be there unnamed.  -ENOMEM. */
int tunnel_state_domain(struct tunnel_state *state, const struct domain_name *domain) _must_check_;
void tunnel_state_remove_domain(struct tunnel_state *state, const struct domain_name *domain);

/* The errno of an answer to a set.  -ERR_MESSAGE: no such line.  @error is 0 or negative. */
int uapi_errno(const char *text, size_t len, int *error) _must_check_;

struct uapi_event {
	struct public_key key;
	struct endpoint endpoint; /* ip.family 0: not said */
	time_t handshake_at;      /* 0: not said */
};

int uapi_event_parse(struct uapi_event *ret, const char *text, size_t len) _must_check_;

/*
 * The text for people and for `wg`: lines of @answer without secrets and without our own keys but
 * warren_public_key; "errno=0" and the empty line at its end.  To be freed; NULL: no memory.
 */
char *uapi_for_show(const char *answer, size_t len, size_t *ret_len);

#endif
