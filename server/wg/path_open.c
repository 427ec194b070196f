#include <string.h>

#include "base/bytes.h"
#include "server/wg/inner.h"
#include "server/wg/path_state.h"

/*
 * Messages are opened by runs of one receiver index: one look-up, one call of the AEAD, one stamp.
 * Of each message: session valid, counter possible, authentic, counter fresh; then, for the run, the
 * endpoint moves and next becomes current; then, of each packet again, length, ECN, source.  That a
 * packet is refused at the end undoes nothing: it was the peer that sent it.
 */

/* What the accepted messages of a run have in common to say. */
struct opened {
	const struct wg_arrival *arrival; /* of the last one; NULL: none */
	unsigned data;                    /* messages that are not keepalives */
	uint64_t bytes;
};

static void
drop_run(struct wg_path *path, struct path_in *in, unsigned n, enum wg_drop why)
{
	for (unsigned i = 0; i < n; i++) {
		in[i].drop = why;
		in[i].plain_len = 0;
		in[i].quarantined = false;
	}
	if (why != WG_DROP_OTHER_WORKER)
		wg_count(&path->counters, why, n);
}

static void
drop_one(struct wg_path *path, struct path_in *in, enum wg_drop why)
{
	in->drop = why;
	in->plain_len = 0;
	in->quarantined = false;
	wg_count(&path->counters, why, 1);
}

static bool
rx_has(const struct path_peer *peer, uint32_t len)
{
	return !peer->limits || bucket_has(&peer->limits->rx, len);
}

static bool
rx_take(struct path_peer *peer, uint32_t len)
{
	return !peer->limits || bucket_take(&peer->limits->rx, len);
}

/*
 * What can be said of a message before the AEAD.  Beyond the peer's rate it is refused without that work,
 * but nothing is charged yet, or a forger would spend what is the peer's; the first message on a new
 * session is let through, because that session is waiting for it.
 */
static enum wg_drop
message_refuse(const struct path_peer *peer, const struct session *session, const struct path_in *in)
{
	const uint64_t counter = le64_load(in->data + 8);

	if (counter >= WG_REJECT_AFTER_MESSAGES)
		return WG_DROP_KEY_EXPIRED;
	if (!replay_fresh(&session->replay, counter))
		return WG_DROP_REPLAY;
	if (in->len > WG_DATA_MIN && !rx_has(peer, in->len) && session != peer->sessions.next)
		return WG_DROP_RATE;
	return WG_DROP_NONE;
}

/* Jobs for those that are not refused; which[] says whose they are.  Returns how many. */
static unsigned
jobs_make(struct wg_path *path, const struct path_peer *peer, const struct session *session,
	  struct path_in *in, unsigned n)
{
	unsigned jobs = 0;

	for (unsigned i = 0; i < n; i++) {
		const enum wg_drop why = message_refuse(peer, session, &in[i]);

		if (why != WG_DROP_NONE) {
			drop_one(path, &in[i], why);
			continue;
		}
		path->which[jobs] = (uint16_t)i;
		path->jobs[jobs++] = (struct aead_job){
			.key = session->receive_key,
			.session = session->receive_context,
			.counter = le64_load(in[i].data + 8),
			.src = in[i].data + WG_DATA_HEADER,
			.dst = in[i].plain,
			.len = in[i].len - WG_DATA_HEADER,
		};
	}
	return jobs;
}

/* The longest match must be this very peer; an answer is good for as long as the table is the same. */
static bool
source_owned(struct path_peer *peer, const struct inner *inner)
{
	const size_t len = inner->family == AF_INET ? 4 : 16;
	const uint64_t version = allowedips_version(peer->allowed);
	struct owned_source *source = &peer->source;
	struct wg_peer_id owner;

	if (source->version == version && peer->source_family == inner->family &&
	    memcmp(source->addr, inner->source, len) == 0)
		return true;
	owner = inner->family == AF_INET ? allowedips_lookup4(peer->allowed, inner->source)
					 : allowedips_lookup6(peer->allowed, inner->source);
	if (!wg_peer_id_equal(owner, peer->id))
		return false;
	source->version = version;
	peer->source_family = (uint8_t)inner->family;
	memcpy(source->addr, inner->source, len);
	return true;
}

static enum wg_drop
packet_check(struct path_peer *peer, struct path_in *in)
{
	struct inner inner;
	enum wg_drop why;

	why = inner_check(in->plain, in->len - WG_DATA_OVERHEAD, &inner);
	if (why != WG_DROP_NONE)
		return why;
	inner_decapsulate(in->plain, in->arrival->tos);
	if (!source_owned(peer, &inner))
		return WG_DROP_SOURCE;
	in->plain_len = inner.len;
	return WG_DROP_NONE;
}

/* After the AEAD: what became of each job's message. */
static void
jobs_judge(struct wg_path *path, struct path_peer *peer, struct session *session, struct path_in *ins,
	   unsigned jobs, struct opened *opened)
{
	const bool quarantined = peer->access == WG_QUARANTINED;

	for (unsigned i = 0; i < jobs; i++) {
		struct path_in *in = &ins[path->which[i]];
		enum wg_drop why;

		if (!path->jobs[i].ok) {
			drop_one(path, in, WG_DROP_AUTHENTICATION);
			continue;
		}
		if (!replay_accept(&session->replay, &path->sessions.pool, path->jobs[i].counter)) {
			drop_one(path, in, WG_DROP_REPLAY);
			continue;
		}
		opened->arrival = in->arrival;
		in->quarantined = quarantined;
		in->drop = WG_DROP_NONE;
		in->plain_len = 0;
		if (in->len > WG_DATA_MIN) {
			opened->data++;
			why = rx_take(peer, in->len) ? packet_check(peer, in) : WG_DROP_RATE;
			if (why != WG_DROP_NONE) {
				drop_one(path, in, why);
				continue;
			}
		}
		opened->bytes += in->len;
	}
}

static void
endpoint_learn(struct wg_path *path, struct path_peer *peer, const struct wg_arrival *arrival,
	       struct wg_now now)
{
	const struct wg_route route = route_back(arrival);

	if (route_equal(&route, path_route(path, peer)))
		return;
	peer->route = route;
	peer->learned = now.boot;
	path_note(path, peer, WG_REPORT_ROUTE, now);
}

/* The initiator asks for a new session when the one that it receives on has less than 15 s left. */
static void
keep_fresh(struct wg_path *path, struct path_peer *peer, struct wg_now now)
{
	const struct session *session = peer->sessions.current;

	if (peer->last_minute || !session || !session->sending || !session->initiator ||
	    now.boot - session->birth < WG_LAST_MINUTE)
		return;
	peer->last_minute = true;
	path_note(path, peer, WG_REPORT_HANDSHAKE_WANTED, now);
}

static void
run_done(struct wg_path *path, struct path_peer *peer, const struct session *session,
	 const struct opened *opened, struct wg_now now)
{
	endpoint_learn(path, peer, opened->arrival, now);
	if (session == peer->sessions.next) {
		sessions_confirm(&peer->sessions, &path->sessions);
		peer->last_minute = false;
		peer->news.confirmed = session->local;
		path_note(path, peer, WG_REPORT_CONFIRMED, now);
		path_ready(path, peer);
	}
	keep_fresh(path, peer, now);
	path_note_received(path, peer, opened->data, opened->bytes, now);
}

static struct seen_index *
seen_place(struct wg_path *path, uint32_t index)
{
	return &path->seen[(index >> path->index.worker_bits) % PATH_SEEN];
}

void
path_seen_init(struct wg_path *path)
{
	for (uint32_t i = 0; i < PATH_SEEN; i++) {
		const uint32_t index = i << path->index.worker_bits;

		path->seen[i] = (struct seen_index){index, index_number(&path->index, index)};
	}
}

/* Junk pushes out what is in use, and then costs what it would cost without the table. */
static uint32_t
number_of(struct wg_path *path, uint32_t index)
{
	struct seen_index *seen = seen_place(path, index);

	if (seen->index != index)
		*seen = (struct seen_index){index, index_number(&path->index, index)};
	return seen->number;
}

bool
path_peer_of(struct wg_path *path, uint32_t index, struct wg_peer_id *ret)
{
	struct path_peer *peer = path_peer_by_number(path, number_of(path, index));

	if (!peer || !sessions_find(&peer->sessions, index))
		return false;
	*ret = peer->id;
	return true;
}

/* At most PATH_RUN messages of one index. */
static void
open_run(struct wg_path *path, uint32_t index, struct path_in *in, unsigned n, struct wg_now now)
{
	struct path_peer *peer = NULL;
	struct session *session = NULL;
	struct opened opened = {0};
	enum wg_drop why;
	unsigned jobs;

	if (index_worker(&path->index, index) != path->worker) {
		drop_run(path, in, n, WG_DROP_OTHER_WORKER);
		return;
	}
	peer = path_peer_by_number(path, number_of(path, index));
	if (peer)
		session = sessions_find(&peer->sessions, index);
	if (!session) {
		drop_run(path, in, n, WG_DROP_NO_SESSION);
		return;
	}
	for (unsigned i = 0; i < n; i++) {
		in[i].peer = peer->id;
		in[i].domain = peer->domain;
	}
	why = path_refuses(peer, now);
	if (why == WG_DROP_NONE && path_session_ended(session, now))
		why = WG_DROP_KEY_EXPIRED;
	if (why != WG_DROP_NONE) {
		drop_run(path, in, n, why);
		return;
	}

	if (peer->limits)
		bucket_fill(&peer->limits->rx, now.boot);
	jobs = jobs_make(path, peer, session, in, n);
	path->sessions.aead->open(path->sessions.aead->ctx, path->jobs, jobs);
	jobs_judge(path, peer, session, in, jobs, &opened);
	if (opened.arrival)
		run_done(path, peer, session, &opened, now);
}

void
path_open(struct wg_path *path, struct path_in *in, unsigned n, struct wg_now now)
{
	while (n > 0) {
		uint32_t index;
		unsigned run = 1;

		if (in->len < WG_DATA_MIN) {
			drop_run(path, in, 1, WG_DROP_LENGTH);
		} else {
			index = le32_load(in->data + 4);
			while (run < n && run < PATH_RUN && in[run].len >= WG_DATA_MIN &&
			       le32_load(in[run].data + 4) == index)
				run++;
			open_run(path, index, in, run, now);
		}
		in += run;
		n -= run;
	}
}
