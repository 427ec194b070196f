/*
 * One child and its life, and what the parts of the supervisor share.  supervise.h is the way in; this
 * is for supervise.c, instance.c and handover.c alone.
 */
#ifndef SERVER_PROC_INSTANCE_H
#define SERVER_PROC_INSTANCE_H

#include "server/proc/kept.h"
#include "server/proc/supervise.h"

#define CHILD_STATES(X) /* state, words, may become */                                                       \
	X(DOWN, "down", BIT(CHILD_UP) | BIT(CHILD_READY))                                                    \
	X(UP, "starting", BIT(CHILD_BEGUN) | BIT(CHILD_READY) | BIT(CHILD_STOPPING) | BIT(CHILD_DOWN))       \
	X(BEGUN, "beginning", BIT(CHILD_READY) | BIT(CHILD_STOPPING) | BIT(CHILD_DOWN))                      \
	X(READY, "ready", BIT(CHILD_STOPPING) | BIT(CHILD_DOWN))                                             \
	X(STOPPING, "stopping", BIT(CHILD_DOWN))

enum child_state {
#define X(name, words, next) CHILD_##name,
	CHILD_STATES(X)
#undef X
};

/* What a child's channel had no room for yet. */
struct outgoing {
	struct outgoing *next;
	enum message_type type;
	int fd; /* -1: none */
	size_t len;
	char body[];
};

struct instance {
	struct supervisor *s;
	const struct role *role;
	enum child_state state;
	pid_t pid;
	int channel;
	struct loop_io *io;
	struct outgoing *first, **last; /* @last: where the next one goes */
	size_t n_outgoing;
	struct loop_timer *timer; /* DOWN: start again; UP: HELLO is late, or probe; STOPPING: kill */
	nsec_t backoff, ready_at;
	bool proven; /* was READY once */
};

struct line { /* a link, and the end of it that waits */
	const struct link *link;
	struct instance *end[2];
	int waiting[2];
};

struct supervisor {
	struct loop *loop;
	const struct namespaces *ns;
	struct supervisor_events events;
	const struct private_key *identity;
	struct kept kept;
	size_t n_instances, n_lines;
	struct instance instances[ROLES_MAX];
	struct line lines[LINKS_MAX];
	struct loop_timer *last;
	nsec_t started_at;
	bool started, announced, stopping, hurried, lingering, ended;
	struct message message; /* the one being served */
};

#define OUTGOING_MAX 16384 /* messages that wait for a child to read */

bool instance_has_begun(const struct instance *child);

/* What finds no room waits, in order; a child that then reads nothing for HURRY_LIMIT is killed. */
int instance_send(struct instance *child, enum message_type type, const void *body, size_t len,
		  int fd) _must_check_;

/* Because of @r; SIGCHLD is next. */
void instance_kill(struct instance *child, int r, const char *why);

void instance_outgoing_drop(struct instance *child);

/* If it is down and what it waits for is there. */
void instance_start(struct instance *child, nsec_t now);

/* The loop's, for @arg's timer. */
void instance_timer(void *arg, nsec_t now);

/* By STOP or the signal of its role; @sig: by that instead.  After @limit it is killed. */
void instance_end(struct instance *child, int sig, nsec_t limit, nsec_t now);

/* It was reaped. */
void instance_ended(struct instance *child, int status, nsec_t now);

#endif
