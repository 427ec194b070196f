/*
 * Supervision: children that are started with what is theirs, started again when they die, connected
 * to each other, and stopped in order.
 *
 *            exec            HELLO, handed over, GO          READY
 *   DOWN ──────────► UP ─────────────────────────► BEGUN ─────────► READY
 *    ▲  back-off: 100 ms, doubling to 5 s; READY for 10 s resets it   │
 *    └────────────── it ended, or was killed for nonsense ◄───────────┘     STOPPING: until it ends
 *
 * What a child needs over its restarts is kept here by name: sockets, TUN queues, namespaces.
 */
#ifndef SERVER_PROC_SUPERVISE_H
#define SERVER_PROC_SUPERVISE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/key.h"
#include "server/proc/isolation.h"
#include "server/proc/kept.h"
#include "server/proc/loop.h"
#include "server/proc/message.h"

#define ROLES_MAX 8
#define LINKS_MAX 8

#define BACKOFF_FIRST MILLISECONDS(100)
#define BACKOFF_MOST  SECONDS(5)
#define BACKOFF_RESET SECONDS(10) /* READY for so long: the next failure is a first one */
#define HELLO_LIMIT   SECONDS(20)
#define HURRY_LIMIT   SECONDS(2)
#define PROBE_EVERY   MILLISECONDS(50)
#define AFTER_LIMIT   SECONDS(10)

/* One kind of child.  All pointers must outlive the supervisor. */
struct role {
	const char *name; /* what it says in HELLO */
	const char *path;
	const char *const *argv;
	const char *const *env;
	bool inside;   /* the inner namespaces */
	uint64_t caps; /* kept there */
	bool silent;   /* speaks no messages: READY when executed, or by @probe; stopped by signal */
	/* Of a silent one: 0 when it serves, -EAGAIN until then; asked every PROBE_EVERY.  NULL: none. */
	int (*probe)(const void *arg);
	const void *probe_arg;
	int stop_signal;     /* of a silent one */
	int hurry_signal;    /* when the orderly stop is to be cut short; 0: SIGKILL */
	int death_signal;    /* when warrend dies; 0: SIGKILL */
	bool optional;       /* a first failure of it does not keep the whole from being called ready */
	bool identity;       /* gets the gateway's private key */
	bool sends_tun;      /* may hand TUN devices up */
	const char *sockets; /* names of kept descriptors it gets, blanks between; "tun:*" is all of that
				prefix */
	const char *needs;   /* a kept descriptor without which it is not started; NULL */
	const char *after;   /* not started before that role was READY, failed, or took AFTER_LIMIT; NULL */
	unsigned stop_step;  /* those of step 0 are stopped first */
	nsec_t stop_limit;   /* then it is killed */
};

/* A connection between two roles, renewed when either end is. */
struct link {
	const char *a, *name_at_a; /* role, and what the channel is called there: the sibling */
	const char *b, *name_at_b;
	int type; /* SOCK_STREAM or SOCK_SEQPACKET */
};

struct supervisor;

struct supervisor_events {
	void *arg;
	/* The CONFIG text of @role into @out of MESSAGE_BODY_MAX: its length or a negated errno. */
	int (*config)(void *arg, const char *role, char *out, size_t len);
	/* A device came, before others are told, or is gone and not kept any more.  NULL: nobody asks. */
	void (*device)(void *arg, const char *ifname, bool there);
	void (*all_ready)(void *arg, nsec_t now); /* once */
	void (*stopped)(void *arg,
			nsec_t now); /* after supervisor_stop(), when nobody is left, nor foster children */
};

/* @loop and @ns are lent.  Becomes subreaper; the loop must give SIGCHLD to supervisor_reap(). */
int supervisor_new(struct supervisor **ret, struct loop *loop, const struct namespaces *ns,
		   const struct supervisor_events *events) _must_check_;
void supervisor_free(struct supervisor *s);
void supervisor_freep(struct supervisor **s);

/* Before supervisor_start().  -ENOSPC: more than ROLES_MAX or LINKS_MAX. */
int supervisor_add(struct supervisor *s, const struct role *role) _must_check_;
int supervisor_link(struct supervisor *s, const struct link *link) _must_check_;

/* Takes @fd (also on failure) and keeps it under @name; a name may have several, in order. */
int supervisor_keep(struct supervisor *s, const char *name, int fd) _must_check_;

/* Gives what is kept under @name to those children that are up and that it is for. */
void supervisor_offer(struct supervisor *s, const char *name);
void supervisor_drop(struct supervisor *s, const char *name);

/* All that is kept under names that match @patterns goes to @ret. */
int supervisor_release(struct supervisor *s, const char *patterns, struct kept *ret) _must_check_;
bool supervisor_keeps(const struct supervisor *s, const char *name);

/* Lent until supervisor_free(). */
void supervisor_identity(struct supervisor *s, const struct private_key *identity);

void supervisor_start(struct supervisor *s);

/* In order, each with its limit.  Called again: all at once, and soon. */
void supervisor_stop(struct supervisor *s, nsec_t now);

/* On SIGCHLD: whoever ended, also foster children. */
void supervisor_reap(struct supervisor *s, nsec_t now);

/* For tests and for the log: 0 if it is not running. */
pid_t supervisor_pid(const struct supervisor *s, const char *role);
bool supervisor_is_ready(const struct supervisor *s, const char *role);

#endif
