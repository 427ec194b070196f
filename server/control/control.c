#include "server/control/control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/errors.h"
#include "base/log.h"
#include "server/control/feed.h"
#include "server/control/metrics.h"
#include "server/control/network.h"
#include "server/control/reconcile.h"
#include "server/control/tunnel.h"

struct control {
	struct control_setup setup;
	struct board board;
	bool has_board;
	struct tunnel *tunnel;
	struct reconcile *reconcile;
	struct network *network;
	struct feed *feed;
	struct loop_timer *flush;
	nsec_t started;
	time_t started_at;
	bool serving, stopped;
};

/* Tunnel → reconcile */

static void
on_up(void *arg, nsec_t now)
{
	struct control *control = arg;

	reconcile_up(control->reconcile, now);
}

static void
on_down(void *arg, const char *why, nsec_t now)
{
	struct control *control = arg;

	reconcile_down(control->reconcile, why, now);
}

static void
on_answer(void *arg, const char *text, size_t len, nsec_t now)
{
	struct control *control = arg;

	reconcile_answer(control->reconcile, text, len, now);
}

static void
on_event(void *arg, const struct uapi_event *event, nsec_t now)
{
	struct control *control = arg;

	reconcile_event(control->reconcile, event, now);
}

static void
on_nonsense(void *arg, const char *what, nsec_t now)
{
	struct control *control = arg;

	log_error("tunnel=nonsense what=\"%s\"", what);
	control->setup.broken(control->setup.arg, what);
}

/* Net → board */

static void
on_net_state(void *arg, const struct network_state *state, nsec_t now)
{
	struct control *control = arg;
	struct board *board = &control->board;

	board_lock(board);
	board->net_up = true;
	board->net = *state;
	board_changed(board);
	board_unlock(board);
}

static void
on_net(struct control *control, bool up)
{
	struct board *board = &control->board;

	board_lock(board);
	board->net_up = up;
	board->net = (struct network_state){0};
	board_changed(board);
	board_unlock(board);
}

static void
on_net_up(void *arg, nsec_t now)
{
	on_net(arg, true);
}

static void
on_net_down(void *arg, nsec_t now)
{
	on_net(arg, false);
}

/* Feed → board, reconcile, net */

static void
on_read(void *arg, const struct gateway_feed *feed, bool whole, uint64_t ticket, nsec_t now)
{
	struct control *control = arg;
	struct board *board = &control->board;
	struct network_wish wish;
	int r;

	board_lock(board);
	r = wanted_apply(&board->wanted, feed, board->tenant, whole);
	if (board->wanted.n == 0)
		board->peers_since = NSEC_NEVER;
	else if (board->peers_since == NSEC_NEVER)
		board->peers_since = now;
	network_plan(&wish, &board->wanted, control->setup.config);
	board_changed(board);
	board_unlock(board);
	if (r < 0) {
		log_error("feed=not kept: %s", error_words(r));
		feed_again(control->feed);
		free(wish.plan);
		return;
	}
	network_want(control->network, &wish, now);
	reconcile_wanted(control->reconcile, ticket, now);
	if (!control->serving) {
		control->serving = true;
		control->setup.serving(control->setup.arg, now);
	}
}

static void
on_ended(void *arg, nsec_t now)
{
	struct control *control = arg;

	if (control->stopped)
		return;
	control->stopped = true;
	control->setup.stopped(control->setup.arg, true);
}

static void
on_flush(void *arg, nsec_t now)
{
	struct control *control = arg;

	if (control->stopped)
		return;
	control->stopped = true;
	log_error("stop=not all is written: the database takes too long");
	control->setup.stopped(control->setup.arg, false);
}

static int
parts_new(struct control *control)
{
	struct loop *loop = control->setup.loop;
	const struct tunnel_events tunnel = {control, on_up, on_down, on_answer, on_event, on_nonsense};
	const struct network_events network = {control, on_net_state, on_net_up, on_net_down};
	const struct feed_events feed = {control, on_read, on_ended};
	int r;

	r = board_init(&control->board);
	if (r < 0)
		return r;
	control->has_board = true;
	r = tunnel_new(&control->tunnel, loop, &tunnel);
	if (r == 0)
		r = reconcile_new(&control->reconcile, loop, &control->board);
	if (r == 0)
		r = network_new(&control->network, loop, &network);
	if (r == 0)
		r = loop_timer_new(loop, on_flush, control, &control->flush);
	if (r < 0)
		return r;
	reconcile_tunnel(control->reconcile, control->tunnel);
	return feed_new(&control->feed, control->setup.config, loop, &control->board, &feed);
}

int
control_new(struct control **ret, const struct control_setup *setup)
{
	_cleanup_(control_freep) struct control *control = calloc(1, sizeof(*control));
	int r;

	if (!control)
		return -ENOMEM;
	control->setup = *setup;
	control->started = clock_boottime();
	control->started_at = (time_t)(clock_wall() / SECONDS(1));
	r = parts_new(control);
	if (r < 0)
		return r;
	*ret = take_ptr(control);
	return 0;
}

void
control_free(struct control *control)
{
	if (!control)
		return;
	feed_free(control->feed);
	network_free(control->network);
	reconcile_free(control->reconcile);
	tunnel_free(control->tunnel);
	loop_timer_free(control->flush);
	if (control->has_board)
		board_done(&control->board);
	free(control);
}

void
control_freep(struct control **control)
{
	control_free(*control);
}

void
control_channel(struct control *control, const char *name, int fd, nsec_t now)
{
	if (strcmp(name, "tunnel") == 0)
		tunnel_channel(control->tunnel, fd, now);
	else if (strcmp(name, "tunnel-watch") == 0)
		tunnel_watch_channel(control->tunnel, fd, now);
	else if (strcmp(name, "net") == 0)
		network_channel(control->network, fd, now);
	else
		close(fd);
}

void
control_stop(struct control *control, nsec_t now)
{
	board_lock(&control->board);
	control->board.stopping = true;
	board_changed(&control->board);
	board_unlock(&control->board);
	feed_stop(control->feed);
	loop_timer_set(control->flush, now + FLUSH_LIMIT);
}

/* From any thread */

const struct config *
control_config(const struct control *control)
{
	return control->setup.config;
}

struct board *
control_board(struct control *control)
{
	return &control->board;
}

uint64_t
control_changed(struct control *control)
{
	uint64_t ticket;

	board_lock(&control->board);
	ticket = ++control->board.change_asked;
	board_unlock(&control->board);
	feed_wake(control->feed);
	return ticket;
}

bool
control_applied(struct control *control, uint64_t ticket)
{
	struct board *board = &control->board;
	const nsec_t deadline = board_clock() + APPLY_LIMIT;
	bool applied;

	board_lock(board);
	while (board->change_applied < ticket && !board->stopping)
		if (!board_wait(board, deadline))
			break;
	applied = board->change_applied >= ticket && board->tunnel_up;
	board_unlock(board);
	return applied;
}

static void
on_look(void *arg, nsec_t now)
{
	struct control *control = arg;

	reconcile_turn(control->reconcile, now);
}

bool
control_look(struct control *control)
{
	struct board *board = &control->board;
	const nsec_t deadline = board_clock() + LOOK_LIMIT;
	uint64_t ticket;
	bool served;

	board_lock(board);
	if (!board->tunnel_up) {
		board_unlock(board);
		return false;
	}
	ticket = ++board->look_asked;
	board_unlock(board);
	if (loop_post(control->setup.loop, on_look, control) < 0)
		return false;
	board_lock(board);
	while (board->look_served < ticket && board->tunnel_up && !board->stopping)
		if (!board_wait(board, deadline))
			break;
	served = board->look_served >= ticket;
	board_unlock(board);
	return served;
}

void
control_status(struct control *control, struct status *ret)
{
	struct board *board = &control->board;
	struct reach reach;
	struct ip_list resolvers;
	struct status_facts facts = {
		.config = control->setup.config,
		.reach = &reach,
		.started = control->started,
		.started_at = control->started_at,
		.words = &control->setup.words,
	};

	control_look(control);
	reach_find(facts.config, &reach);
	resolvers_find(facts.config, &resolvers);
	facts.n_resolvers = resolvers.n;
	facts.now = clock_boottime();
	facts.wall = (time_t)(clock_wall() / SECONDS(1));
	board_lock(board);
	status_compose(board, &facts, ret);
	board_unlock(board);
}

void
control_health(struct control *control, struct control_health *ret)
{
	struct board *board = &control->board;

	board_lock(board);
	*ret = (struct control_health){.database = board->database == 0, .tunnel = board->tunnel_up};
	for (size_t i = 0; board->tunnel_up && board->present_valid && i < board->present.n_rungs; i++) {
		ret->rungs++;
		ret->missing += strcmp(board->present.rungs[i].state, "on") != 0;
	}
	board_unlock(board);
}

char *
control_metrics(struct control *control, size_t *ret_len)
{
	struct board *board = &control->board;
	char *text;

	control_look(control);
	board_lock(board);
	text = metrics_make(board, control->started_at, (time_t)(clock_wall() / SECONDS(1)), ret_len);
	board_unlock(board);
	return text;
}

int
control_wg(struct control *control, char **ret, size_t *ret_len)
{
	struct board *board = &control->board;
	int r = -ERR_TUNNEL_DOWN;

	control_look(control);
	board_lock(board);
	if (board->tunnel_up && board->present_valid && board->show) {
		*ret = malloc(board->show_len + 1);
		r = *ret ? 0 : -ENOMEM;
	}
	if (r == 0) {
		memcpy(*ret, board->show, board->show_len + 1);
		*ret_len = board->show_len;
	}
	board_unlock(board);
	return r;
}
