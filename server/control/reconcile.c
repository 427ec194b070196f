#include "server/control/reconcile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/errors.h"
#include "base/log.h"
#include "server/control/plan.h"

enum asked { ASKED_NOTHING, ASKED_LOOK, ASKED_STEP };

struct reconcile {
	struct loop *loop;
	struct board *board;
	struct tunnel *tunnel;
	struct loop_timer *look_timer, *pace_timer;
	enum asked asked;     /* what the answer under way is to */
	uint64_t look_ticket; /* of that look */
	bool look_wanted;     /* whatever the tickets say */
	bool first;           /* nothing was read on this channel yet */
	uint64_t wanted_ticket;
	size_t step_peers; /* one after a refusal, to find who it is about */
	nsec_t backoff;
	bool waits;         /* for look_timer, after a refusal */
	size_t initiations; /* may go now */
	struct plan plan;
	struct plan_step step;
};

static time_t
wall(void)
{
	return (time_t)(clock_wall() / SECONDS(1));
}

static void
look(struct reconcile *reconcile, nsec_t now)
{
	char *text = strdup("get=1\nwarren_protocol=1\nwarren_domain=*\n\n");

	reconcile->look_wanted = false;
	reconcile->look_ticket = reconcile->board->look_asked;
	if (text && tunnel_ask(reconcile->tunnel, text, strlen(text), now) == 0)
		reconcile->asked = ASKED_LOOK;
}

static void
tell_step(struct reconcile *reconcile, nsec_t now)
{
	char *text = take_ptr(reconcile->step.text);

	if (tunnel_ask(reconcile->tunnel, text, reconcile->step.len, now) == 0)
		reconcile->asked = ASKED_STEP;
}

static void
settled(struct reconcile *reconcile)
{
	struct board *board = reconcile->board;

	if (board->change_applied < reconcile->wanted_ticket) {
		board->change_applied = reconcile->wanted_ticket;
		board_changed(board);
	}
}

/* Nothing is left to tell; what was refused stays said until it is not wanted so any more. */
static void
at_rest(struct reconcile *reconcile)
{
	struct board *board = reconcile->board;
	struct wanted_counts counts;

	reconcile->step_peers = PLAN_PEERS_MAX;
	if (!board->tunnel_error)
		return;
	wanted_count(&board->wanted, wall(), &counts);
	if (!counts.refused)
		board->tunnel_error = 0;
}

static void
pace(struct reconcile *reconcile, nsec_t now)
{
	if (reconcile->initiations == 0)
		loop_timer_set(reconcile->pace_timer, now + INITIATE_PACE);
}

/* The lock is held. */
static void
turn(struct reconcile *reconcile, nsec_t now)
{
	struct board *board = reconcile->board;
	const struct plan_limits limits = {reconcile->step_peers, reconcile->initiations, wall()};

	if (!tunnel_is_free(reconcile->tunnel) || reconcile->waits)
		return;
	if (!board->present_valid || reconcile->look_wanted || board->look_asked > board->look_served) {
		look(reconcile, now);
		return;
	}
	if (!board->wanted.known)
		return;
	plan_step_done(&reconcile->step);
	if (plan_next(&reconcile->plan, &board->wanted, &board->present, &limits, &reconcile->step) < 0)
		return;
	if (reconcile->step.change == CHANGE_NONE || reconcile->step.change == CHANGE_INITIATE)
		settled(reconcile);
	if (reconcile->step.change != CHANGE_NONE)
		tell_step(reconcile, now);
	else
		at_rest(reconcile);
}

void
reconcile_turn(struct reconcile *reconcile, nsec_t now)
{
	board_lock(reconcile->board);
	turn(reconcile, now);
	board_unlock(reconcile->board);
}

void
reconcile_wanted(struct reconcile *reconcile, uint64_t ticket, nsec_t now)
{
	struct board *board = reconcile->board;

	board_lock(board);
	if (reconcile->first && board->present_valid && board->wanted.known) {
		plan_mark_recent(&board->wanted, &board->present, wall());
		plan_stale(&reconcile->plan);
		reconcile->first = false;
	}
	reconcile->wanted_ticket = MAX(reconcile->wanted_ticket, ticket);
	turn(reconcile, now);
	board_unlock(board);
}

/* What the tunnel knows of where its peers are is news for the database as well. */
static void
note_all(struct board *board)
{
	for (size_t i = 0; i < board->present.n_peers; i++) {
		const struct tunnel_peer *peer = &board->present.peers[i];

		if (peer->last_handshake_at)
			wanted_note(&board->wanted, &peer->key, &peer->endpoint, peer->last_handshake_at);
	}
}

static void
show_keep(struct board *board, const char *text, size_t len)
{
	free(board->show);
	board->show = uapi_for_show(text, len, &board->show_len);
}

static void
refused(struct reconcile *reconcile, int error, nsec_t now)
{
	struct board *board = reconcile->board;

	log_error("tunnel=refused error=%s peers=%zu", error_code(error), reconcile->step.n);
	board->tunnel_error = error;
	if (reconcile->step.n == 1) {
		struct wanted_peer *peer = wanted_by_key(&board->wanted, &reconcile->step.told[0].key);

		if (peer)
			peer->refused = true;
	}
	if (reconcile->step.n)
		reconcile->step_peers = reconcile->step.n == 1 ? PLAN_PEERS_MAX : 1;
	reconcile->backoff = reconcile->backoff ? MIN(reconcile->backoff * 2, LOOK_EVERY) : MILLISECONDS(50);
	reconcile->waits = true;
	reconcile->look_wanted = true;
	loop_timer_set(reconcile->look_timer, now + reconcile->backoff);
}

/* Both by key: what a peer's counters grew by; a counter that is lower began anew. */
static void
traffic_add(struct board *board, const struct tunnel_state *now)
{
	const struct tunnel_state *before = &board->present;
	size_t k = 0;

	for (size_t i = 0; i < now->n_peers; i++) {
		const struct tunnel_peer *peer = &now->peers[i], *old = NULL;
		uint64_t rx = 0, tx = 0;

		while (board->present_valid && k < before->n_peers &&
		       memcmp(before->peers[k].key.b, peer->key.b, KEY_LEN) < 0)
			k++;
		if (board->present_valid && k < before->n_peers &&
		    memcmp(before->peers[k].key.b, peer->key.b, KEY_LEN) == 0)
			old = &before->peers[k];
		if (old && old->rx_bytes <= peer->rx_bytes && old->tx_bytes <= peer->tx_bytes) {
			rx = old->rx_bytes;
			tx = old->tx_bytes;
		}
		board->rx_bytes += peer->rx_bytes - rx;
		board->tx_bytes += peer->tx_bytes - tx;
	}
}

static void
looked(struct reconcile *reconcile, const char *text, size_t len, nsec_t now)
{
	struct board *board = reconcile->board;
	struct tunnel_state state;
	int r;

	r = tunnel_state_parse(&state, text, len);
	if (r == 0 && state.error) {
		r = state.error;
		tunnel_state_done(&state);
	}
	if (r < 0) {
		refused(reconcile, r, now);
		return;
	}
	traffic_add(board, &state);
	tunnel_state_done(&board->present);
	board->present = state;
	board->present_valid = true;
	plan_stale(&reconcile->plan);
	if (state.has_key) {
		board->gateway_key = state.key;
		board->has_gateway_key = true;
	}
	if (reconcile->first && board->wanted.known) {
		const size_t n = plan_mark_recent(&board->wanted, &board->present, wall());

		if (n)
			log_info("tunnel=new initiations=%zu", n);
		reconcile->first = false;
	}
	note_all(board);
	show_keep(board, text, len);
	board->look_served = MAX(board->look_served, reconcile->look_ticket);
	loop_timer_set(reconcile->look_timer, now + LOOK_EVERY);
}

static void
stepped(struct reconcile *reconcile, const char *text, size_t len, nsec_t now)
{
	struct board *board = reconcile->board;
	size_t initiated = 0;
	int error, r;

	r = uapi_errno(text, len, &error);
	if (r == 0)
		r = error;
	if (r < 0) {
		refused(reconcile, r, now);
		return;
	}
	for (size_t i = 0; i < reconcile->step.n; i++)
		initiated += reconcile->step.told[i].initiate;
	reconcile->initiations -= MIN(initiated, reconcile->initiations);
	pace(reconcile, now);
	if (plan_step_applied(&reconcile->step, &board->wanted, &board->present) < 0)
		board->present_valid = false;
	if (reconcile->step.change != CHANGE_INITIATE)
		log_debug("tunnel=told change=%d peers=%zu", (int)reconcile->step.change, reconcile->step.n);
	reconcile->backoff = 0;
}

void
reconcile_answer(struct reconcile *reconcile, const char *text, size_t len, nsec_t now)
{
	struct board *board = reconcile->board;
	const enum asked asked = reconcile->asked;

	board_lock(board);
	reconcile->asked = ASKED_NOTHING;
	if (!board->tunnel_up) {
		board->tunnel_up = true;
		board->tunnel_since = now;
		log_info("tunnel=up");
	}
	board->tunnel_pid = tunnel_pid(reconcile->tunnel);
	if (asked == ASKED_LOOK)
		looked(reconcile, text, len, now);
	else
		stepped(reconcile, text, len, now);
	plan_step_done(&reconcile->step);
	board_changed(board);
	turn(reconcile, now);
	board_unlock(board);
}

void
reconcile_up(struct reconcile *reconcile, nsec_t now)
{
	struct board *board = reconcile->board;

	board_lock(board);
	board->present_valid = false;
	reconcile->first = true;
	reconcile->waits = false;
	reconcile->asked = ASKED_NOTHING;
	reconcile->step_peers = PLAN_PEERS_MAX;
	reconcile->initiations = INITIATE_BURST;
	reconcile->backoff = 0;
	turn(reconcile, now);
	board_unlock(board);
}

void
reconcile_down(struct reconcile *reconcile, const char *why, nsec_t now)
{
	struct board *board = reconcile->board;

	board_lock(board);
	if (board->tunnel_up)
		log_error("tunnel=down why=\"%s\"", why);
	board->tunnel_up = false;
	board->tunnel_since = NSEC_NEVER;
	snprintf(board->tunnel_words, sizeof(board->tunnel_words), "%s", why);
	board_changed(board);
	board_unlock(board);
}

void
reconcile_event(struct reconcile *reconcile, const struct uapi_event *event, nsec_t now)
{
	struct board *board = reconcile->board;
	struct tunnel_peer *peer;

	board_lock(board);
	peer = tunnel_state_peer(&board->present, &event->key);
	if (peer && board->present_valid) {
		if (event->endpoint.ip.family)
			peer->endpoint = event->endpoint;
		board->handshakes += event->handshake_at > peer->last_handshake_at;
		peer->last_handshake_at = MAX(peer->last_handshake_at, event->handshake_at);
	}
	if (wanted_note(&board->wanted, &event->key, &event->endpoint, event->handshake_at))
		board_changed(board);
	board_unlock(board);
}

static void
on_look(void *arg, nsec_t now)
{
	struct reconcile *reconcile = arg;

	reconcile->waits = false;
	reconcile->look_wanted = true;
	reconcile_turn(reconcile, now);
}

static void
on_pace(void *arg, nsec_t now)
{
	struct reconcile *reconcile = arg;

	reconcile->initiations = INITIATE_SHARE;
	reconcile_turn(reconcile, now);
}

int
reconcile_new(struct reconcile **ret, struct loop *loop, struct board *board)
{
	_cleanup_(reconcile_freep) struct reconcile *reconcile = calloc(1, sizeof(*reconcile));
	int r;

	if (!reconcile)
		return -ENOMEM;
	reconcile->loop = loop;
	reconcile->board = board;
	reconcile->step_peers = PLAN_PEERS_MAX;
	r = loop_timer_new(loop, on_look, reconcile, &reconcile->look_timer);
	if (r == 0)
		r = loop_timer_new(loop, on_pace, reconcile, &reconcile->pace_timer);
	if (r < 0)
		return r;
	*ret = take_ptr(reconcile);
	return 0;
}

void
reconcile_free(struct reconcile *reconcile)
{
	if (!reconcile)
		return;
	plan_step_done(&reconcile->step);
	plan_done(&reconcile->plan);
	loop_timer_free(reconcile->look_timer);
	loop_timer_free(reconcile->pace_timer);
	free(reconcile);
}

void
reconcile_freep(struct reconcile **reconcile)
{
	reconcile_free(*reconcile);
}

void
reconcile_tunnel(struct reconcile *reconcile, struct tunnel *tunnel)
{
	reconcile->tunnel = tunnel;
}
