/*
 * A connection is between requests (IDLE), within one (GET, SET), writing an answer (ANSWER), or
 * watching for ever (WATCH).  After the first error of a request its other lines are read and ignored;
 * what was applied before stays applied.
 */
#include "server/tunnel/uapi.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/errors.h"
#include "server/tunnel/uapi_set.h"

enum state { IDLE, GET, SET, ANSWER, WATCH, CLOSED };

struct uapi {
	const struct uapi_host *host;
	enum uapi_rights rights;
	enum state state;
	int error;

	char line[UAPI_LINE_MAX + 1];
	size_t line_len;
	bool line_too_long;

	struct uapi_set set;

	/* a get, or what a watch has to look at anew: peers that are still to be shown */
	bool full; /* with warren_ lines */
	struct wg_peer_id *ids;
	size_t n_ids, next_id;

	/* WATCH */
	bool overrun;
	uint32_t n_changes, first_change;
	struct wg_peer_id changes[UAPI_WATCH_QUEUE];

	struct text out;
};

int
uapi_new(const struct uapi_host *host, enum uapi_rights rights, struct uapi **ret)
{
	struct uapi *uapi = calloc(1, sizeof(*uapi));

	if (!uapi)
		return -ENOMEM;
	uapi->host = host;
	uapi->rights = rights;
	*ret = uapi;
	return 0;
}

static void
ids_clear(struct uapi *uapi)
{
	free(uapi->ids);
	uapi->ids = NULL;
	uapi->n_ids = uapi->next_id = 0;
}

void
uapi_free(struct uapi *uapi)
{
	if (!uapi)
		return;
	if (uapi->state == SET)
		uapi_set_abandon(&uapi->set);
	ids_clear(uapi);
	text_done(&uapi->out);
	bytes_wipe(uapi, sizeof(*uapi));
	free(uapi);
}

void
uapi_freep(struct uapi **uapi)
{
	uapi_free(*uapi);
}

/* Peers may come and go while an answer is being read: those of now are remembered by their ids. */
static int
ids_take(struct uapi *uapi)
{
	const struct wg_domain *domain = uapi->host->domain;
	const uint32_t max = wg_domain_peer_count(domain);
	struct wg_peer_view view;

	ids_clear(uapi);
	if (max == 0)
		return 0;
	uapi->ids = calloc(max, sizeof(*uapi->ids));
	if (!uapi->ids)
		return -ENOMEM;
	for (struct wg_peer *peer = wg_peer_next(domain, NULL); peer && uapi->n_ids < max;
	     peer = wg_peer_next(domain, peer)) {
		wg_peer_view(peer, &view);
		uapi->ids[uapi->n_ids++] = view.id;
		bytes_wipe(&view, sizeof(view));
	}
	return 0;
}

/* The next one that still is; NULL: that was all. */
static struct wg_peer *
ids_next(struct uapi *uapi)
{
	while (uapi->next_id < uapi->n_ids) {
		struct wg_peer *peer = wg_peer_by_id(uapi->host->device, uapi->ids[uapi->next_id++]);

		if (peer)
			return peer;
	}
	return NULL;
}

static void
write_device(struct uapi *uapi)
{
	const struct uapi_host *host = uapi->host;
	struct private_key private;
	struct public_key public;

	if (uapi->rights == UAPI_ALL) {
		wg_private_key_get(host->device, &private);
		if (!key_is_zero(private.b))
			text_add_hex(&uapi->out, "private_key", private.b, KEY_LEN);
		bytes_wipe(&private, sizeof(private));
	}
	if (host->port_get(host->ctx))
		text_add(&uapi->out, "listen_port=%u\n", host->port_get(host->ctx));
	if (host->mark_get(host->ctx))
		text_add(&uapi->out, "fwmark=%u\n", host->mark_get(host->ctx));
	if (!uapi->full)
		return;
	text_add(&uapi->out, "warren_protocol=1\n");
	wg_public_key_get(host->device, &public);
	if (!key_is_zero(public.b))
		text_add_hex(&uapi->out, "warren_public_key", public.b, KEY_LEN);
	host->more(host->ctx, &uapi->out);
}

static void
write_endpoint(struct text *out, const struct endpoint *endpoint)
{
	char text[ENDPOINT_TEXT_LEN];

	if (endpoint->ip.family == 0)
		return;
	endpoint_text(text, endpoint);
	text_add(out, "endpoint=%s\n", text);
}

static void
write_handshake(struct text *out, nsec_t last)
{
	text_add(out, "last_handshake_time_sec=%lld\nlast_handshake_time_nsec=%lld\n",
		 (long long)(last / SECONDS(1)), (long long)(last % SECONDS(1)));
}

static void
write_peer(struct uapi *uapi, const struct wg_peer *peer)
{
	struct text *out = &uapi->out;
	struct wg_peer_view view;
	char text[CIDR_TEXT_LEN];
	struct cidr cidr;

	wg_peer_view(peer, &view);
	text_add_hex(out, "public_key", view.key.b, KEY_LEN);
	if (uapi->rights == UAPI_ALL)
		text_add_hex(out, "preshared_key", view.psk.b, KEY_LEN);
	text_add(out, "protocol_version=1\n");
	write_endpoint(out, &view.endpoint);
	write_handshake(out, view.last_handshake);
	text_add(out, "tx_bytes=%llu\nrx_bytes=%llu\npersistent_keepalive_interval=%u\n",
		 (unsigned long long)view.tx_bytes, (unsigned long long)view.rx_bytes, view.keepalive);
	for (const struct allowedips_node *node = allowedips_next(wg_peer_allowed(peer), NULL); node;
	     node = allowedips_next(wg_peer_allowed(peer), node)) {
		allowedips_cidr(node, &cidr);
		cidr_text(text, &cidr);
		text_add(out, "allowed_ip=%s\n", text);
	}
	if (uapi->full)
		text_add(out, "warren_state=%s\nwarren_end=%lld\n", wg_access_words(view.access),
			 (long long)view.end);
	bytes_wipe(&view, sizeof(view));
}

static void
write_event(struct uapi *uapi, const struct wg_peer *peer)
{
	struct wg_peer_view view;

	wg_peer_view(peer, &view);
	text_add_hex(&uapi->out, "public_key", view.key.b, KEY_LEN);
	write_endpoint(&uapi->out, &view.endpoint);
	write_handshake(&uapi->out, view.last_handshake);
	text_add(&uapi->out, "\n");
	bytes_wipe(&view, sizeof(view));
}

static void
answer_errno(struct uapi *uapi, int error)
{
	text_add(&uapi->out, "errno=%d\n\n", error);
	uapi->state = IDLE;
}

/* As much of the answer as there is room for. */
static void
answer_continue(struct uapi *uapi)
{
	const struct wg_peer *peer;

	while (text_len(&uapi->out) < UAPI_OUT_HIGH) {
		peer = ids_next(uapi);
		if (!peer) {
			ids_clear(uapi);
			answer_errno(uapi, 0);
			return;
		}
		write_peer(uapi, peer);
	}
}

static void
watch_continue(struct uapi *uapi)
{
	const struct wg_peer *peer;

	while (text_len(&uapi->out) < UAPI_OUT_HIGH) {
		if (uapi->ids) {
			peer = ids_next(uapi);
			if (!peer)
				ids_clear(uapi);
		} else if (uapi->overrun) {
			uapi->overrun = ids_take(uapi) < 0;
			if (uapi->overrun)
				uapi->out.failed = true;
			if (!uapi->ids)
				return;
			continue;
		} else if (uapi->n_changes > 0) {
			peer = wg_peer_by_id(uapi->host->device, uapi->changes[uapi->first_change]);
			uapi->first_change = (uapi->first_change + 1) % UAPI_WATCH_QUEUE;
			uapi->n_changes--;
		} else {
			return;
		}
		if (peer)
			write_event(uapi, peer);
	}
}

void
uapi_changed(struct uapi *uapi, struct wg_peer_id peer)
{
	if (uapi->state != WATCH || uapi->overrun)
		return;
	if (uapi->n_changes == UAPI_WATCH_QUEUE) {
		uapi->overrun = true;
		uapi->n_changes = 0;
		return;
	}
	uapi->changes[(uapi->first_change + uapi->n_changes++) % UAPI_WATCH_QUEUE] = peer;
}

int
uapi_output(struct uapi *uapi, const char **bytes, size_t *len)
{
	if (uapi->state == ANSWER)
		answer_continue(uapi);
	else if (uapi->state == WATCH)
		watch_continue(uapi);
	*bytes = uapi->out.data + uapi->out.start;
	*len = text_len(&uapi->out);
	return uapi->out.failed ? -ENOMEM : 0;
}

void
uapi_written(struct uapi *uapi, size_t len)
{
	text_take(&uapi->out, len);
}

/* Requests. */

static void
get_end(struct uapi *uapi)
{
	int r = uapi->error;

	if (r == 0)
		r = ids_take(uapi);
	if (r < 0) {
		answer_errno(uapi, r);
		return;
	}
	write_device(uapi);
	uapi->state = ANSWER;
}

static void
set_end(struct uapi *uapi)
{
	bool watching = false;

	uapi_set_end(&uapi->set, uapi->error, &watching);
	answer_errno(uapi, uapi->error);
	if (uapi->error == 0 && watching)
		uapi->state = WATCH;
}

static int
get_line(struct uapi *uapi, const char *key, const char *value)
{
	if (strcmp(key, "warren_protocol") != 0 || strcmp(value, "1") != 0)
		return -EINVAL;
	uapi->full = true;
	return 0;
}

/* The first line says what is asked for.  What is not a request ends the connection, as in the reference. */
static void
begin(struct uapi *uapi)
{
	uapi->error = 0;
	uapi->full = false;
	if (strcmp(uapi->line, "get=1") == 0) {
		uapi->state = GET;
	} else if (strcmp(uapi->line, "set=1") == 0) {
		uapi_set_begin(&uapi->set, uapi->host, uapi->rights);
		uapi->state = SET;
	} else {
		uapi->state = CLOSED;
	}
}

static void
line_take(struct uapi *uapi)
{
	char *value;

	if (uapi->state == IDLE) {
		begin(uapi);
		return;
	}
	if (uapi->line_len == 0 && !uapi->line_too_long) {
		if (uapi->state == GET)
			get_end(uapi);
		else
			set_end(uapi);
		return;
	}
	if (uapi->error < 0)
		return;
	value = strchr(uapi->line, '=');
	if (!value || uapi->line_too_long) {
		uapi->error = -EPROTO;
		return;
	}
	*value++ = '\0';
	if (uapi->state == GET)
		uapi->error = get_line(uapi, uapi->line, value);
	else
		uapi->error = uapi_set_line(&uapi->set, uapi->line, value);
}

/* A NUL in a line would hide what follows it. */
static void
byte_take(struct uapi *uapi, char c)
{
	if (c == '\n') {
		uapi->line[uapi->line_len] = '\0';
		line_take(uapi);
		bytes_wipe(uapi->line, uapi->line_len);
		uapi->line_len = 0;
		uapi->line_too_long = false;
	} else if (uapi->line_len == UAPI_LINE_MAX || c == '\0') {
		uapi->line_too_long = true;
	} else {
		uapi->line[uapi->line_len++] = c;
	}
}

ssize_t
uapi_input(struct uapi *uapi, const char *bytes, size_t len)
{
	size_t n = 0;

	while (n < len && uapi->state != ANSWER && uapi->state != CLOSED &&
	       text_len(&uapi->out) < UAPI_OUT_HIGH) {
		if (uapi->state == WATCH) /* nothing is asked any more */
			return (ssize_t)len;
		byte_take(uapi, bytes[n++]);
	}
	return uapi->state == CLOSED ? -ERR_CLOSED : (ssize_t)n;
}
