/*
 * Brings the tunnel to what is wanted: looks at it when its channel is new, when somebody asks, when
 * something was refused and once a minute; tells it the difference, revokes first; and has a new one
 * initiate to those who were there lately, BURST at once and then paced.
 *
 *   up ──► look (get) ──► present ──► plan_next() ──► tell (set) ──► applied ─┐
 *                            ▲              │ nothing more: change_applied    │
 *                            └──────────────┴────────────────────────────────┘
 */
#ifndef SERVER_CONTROL_RECONCILE_H
#define SERVER_CONTROL_RECONCILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "server/control/board.h"
#include "server/control/tunnel.h"
#include "server/proc/loop.h"

#define INITIATE_BURST 50
#define INITIATE_PACE  MILLISECONDS(100) /* INITIATE_SHARE more each time */
#define INITIATE_SHARE 20
#define LOOK_EVERY     SECONDS(60)
#define LOOK_AGAIN     SECONDS(1) /* after a refusal; doubles to LOOK_EVERY */

struct reconcile;

/* @board and @tunnel are lent. */
int reconcile_new(struct reconcile **ret, struct loop *loop, struct board *board) _must_check_;
void reconcile_free(struct reconcile *reconcile);
void reconcile_freep(struct reconcile **reconcile);

/* The tunnel's events lead here. */
void reconcile_tunnel(struct reconcile *reconcile, struct tunnel *tunnel);
void reconcile_up(struct reconcile *reconcile, nsec_t now);
void reconcile_down(struct reconcile *reconcile, const char *why, nsec_t now);
void reconcile_answer(struct reconcile *reconcile, const char *text, size_t len, nsec_t now);
void reconcile_event(struct reconcile *reconcile, const struct uapi_event *event, nsec_t now);

/* What is wanted has changed, as of change ticket @ticket; or somebody asked for a look.  Do what can be done
 * now. */
void reconcile_wanted(struct reconcile *reconcile, uint64_t ticket, nsec_t now);
void reconcile_turn(struct reconcile *reconcile, nsec_t now);

#endif
