/*
 * The way to the tunnel: its two channels, renewed by warrend whenever either process was started anew.
 * On one a request at a time and its answer, on the other what it watches.  The loop's thread alone.
 */
#ifndef SERVER_CONTROL_TUNNEL_H
#define SERVER_CONTROL_TUNNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "server/control/uapi.h"
#include "server/proc/loop.h"

#define TUNNEL_ANSWER_MAX (64U * 1024 * 1024)
#define TUNNEL_EVENT_MAX  4096U
#define TUNNEL_PATIENCE   SECONDS(10) /* for an answer; then it counts as down until it comes */

/* All are called from the loop, and may ask again from within. */
struct tunnel_events {
	void *arg;
	void (*up)(void *arg, nsec_t now); /* a new channel: nothing is known of the tunnel */
	void (*down)(void *arg, const char *why, nsec_t now);
	void (*answer)(void *arg, const char *text, size_t len, nsec_t now); /* lent */
	void (*event)(void *arg, const struct uapi_event *event, nsec_t now);
	void (*nonsense)(void *arg, const char *what, nsec_t now); /* only new channels help */
};

struct tunnel;

int tunnel_new(struct tunnel **ret, struct loop *loop, const struct tunnel_events *events) _must_check_;
void tunnel_free(struct tunnel *tunnel);
void tunnel_freep(struct tunnel **tunnel);

/* Take @fd; those before are dead. */
void tunnel_channel(struct tunnel *tunnel, int fd, nsec_t now);
void tunnel_watch_channel(struct tunnel *tunnel, int fd, nsec_t now);

/* Whether a request can be sent now: there is a channel, and no other is under way. */
bool tunnel_is_free(const struct tunnel *tunnel);

/* Sends @text, a whole request; takes it (malloc), also on failure.  -EBUSY; -ERR_TUNNEL_DOWN. */
int tunnel_ask(struct tunnel *tunnel, char *text, size_t len, nsec_t now) _must_check_;

/* A process of the tunnel as seen from here, once it said something; 0: none. */
pid_t tunnel_pid(const struct tunnel *tunnel);

#endif
