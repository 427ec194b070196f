/*
 * A connection is between requests (IDLE), within one (GET, SET), writing an answer (ANSWER), or
 * watching for ever (WATCH).  After the first error of a request its other lines are read and ignored;
 * what was applied before stays applied.
 */
#include "server/tunnel/uapi.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/errors.h"
#include "server/tunnel/uapi_set.h"

#define ALL_DOMAINS "*"
#define KEY_SHOWN   32 /* characters of a key that was not understood */

enum state { IDLE, GET, SET, ANSWER, WATCH, CLOSED };

/* Peers that are still to be shown, of one domain, or of one after the other. */
struct walk {
	bool all;
	unsigned next_domain; /* the number to go on at */
	struct wg_peer_id *ids;
	size_t n, next;
};

struct uapi {
	const struct uapi_host *host;
	enum uapi_rights rights;
	char domain[UAPI_DOMAIN_MAX + 1]; /* its own; "": the host's */
	enum state state;

	/* a request */
	int error;
	bool begun, extended; /* it has a line; the first one was one of ours */
	char trouble[KEY_SHOWN + 2 + UAPI_TROUBLE_MAX];
	struct uapi_set set;
	bool full;                       /* a get: with warren_ lines */
	char asked[UAPI_DOMAIN_MAX + 1]; /* ... of that domain, or ALL_DOMAINS */

	/* a line that has not all come yet */
	char line[UAPI_LINE_MAX + 1];
	size_t line_len;
	bool line_too_long;

	struct walk walk; /* of an answer, or of what a watch has to look at anew */

	/* WATCH */
	bool overrun;
	uint32_t n_changes, first_change;
	struct wg_peer_id changes[UAPI_WATCH_QUEUE];

	struct text out;
};

bool
uapi_domain_is_name(const char *name)
{
	size_t n = 0;

	for (; name[n] != '\0'; n++)
		if (n == UAPI_DOMAIN_MAX || (unsigned char)name[n] <= ' ' || strchr("/=\x7f", name[n]))
			return false;
	return n > 0 && strcmp(name, ALL_DOMAINS) != 0;
}

int
uapi_new(const struct uapi_host *host, enum uapi_rights rights, const char *domain, struct uapi **ret)
{
	struct uapi *uapi;

	if (domain && !uapi_domain_is_name(domain))
		return -EINVAL;
	uapi = calloc(1, sizeof(*uapi));
	if (!uapi)
		return -ENOMEM;
	uapi->host = host;
	uapi->rights = rights;
	snprintf(uapi->domain, sizeof(uapi->domain), "%s", domain ? domain : "");
	*ret = uapi;
	return 0;
}

static void
walk_end(struct walk *walk)
{
	free(walk->ids);
	*walk = (struct walk){0};
}

void
uapi_free(struct uapi *uapi)
{
	if (!uapi)
		return;
	if (uapi->state == SET)
		uapi_set_abandon(&uapi->set);
	walk_end(&uapi->walk);
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
walk_domain(struct walk *walk, const struct wg_domain *domain)
{
	const uint32_t max = wg_domain_peer_count(domain);
	struct wg_peer_view view;

	free(walk->ids);
	walk->ids = NULL;
	walk->n = walk->next = 0;
	if (max == 0)
		return 0;
	walk->ids = malloc(max * sizeof(*walk->ids));
	if (!walk->ids)
		return -ENOMEM;
	for (struct wg_peer *peer = wg_peer_next(domain, NULL); peer && walk->n < max;
	     peer = wg_peer_next(domain, peer)) {
		wg_peer_view(peer, &view);
		walk->ids[walk->n++] = view.id;
		bytes_wipe(&view, sizeof(view));
	}
	return 0;
}

/* The next one that still is; NULL: those were all of the domain. */
static struct wg_peer *
walk_peer(struct walk *walk, const struct wg_device *device)
{
	while (walk->next < walk->n) {
		struct wg_peer *peer = wg_peer_by_id(device, walk->ids[walk->next++]);

		if (peer)
			return peer;
	}
	return NULL;
}

/* Goes on to the next domain, if it goes through all.  NULL: there is none.  No memory: the answer fails. */
static struct wg_domain *
walk_on(struct uapi *uapi)
{
	const struct uapi_host *host = uapi->host;
	struct walk *walk = &uapi->walk;

	while (walk->all && walk->next_domain < WG_DOMAINS_MAX) {
		struct wg_domain *domain = host->domain_at(host->ctx, walk->next_domain++);

		if (!domain)
			continue;
		uapi->out.failed |= walk_domain(walk, domain) < 0;
		return domain;
	}
	return NULL;
}

/* The host's first one may not have been called anything yet. */
static void
write_domain(struct uapi *uapi, const struct wg_domain *domain)
{
	const struct uapi_host *host = uapi->host;

	const char *name = host->domain_name(host->ctx, domain);

	if (name[0] != '\0')
		text_add_word(&uapi->out, "warren_domain", name);
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
		text_add_number(&uapi->out, "listen_port", host->port_get(host->ctx));
	if (host->mark_get(host->ctx))
		text_add_number(&uapi->out, "fwmark", host->mark_get(host->ctx));
	if (!uapi->full)
		return;
	text_add_number(&uapi->out, "warren_protocol", 1);
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
	text_add_word(out, "endpoint", text);
}

static void
write_handshake(struct text *out, nsec_t last)
{
	text_add_number(out, "last_handshake_time_sec", (uint64_t)(last / SECONDS(1)));
	text_add_number(out, "last_handshake_time_nsec", (uint64_t)(last % SECONDS(1)));
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
	text_add_number(out, "protocol_version", 1);
	write_endpoint(out, &view.endpoint);
	write_handshake(out, view.last_handshake);
	text_add_number(out, "tx_bytes", view.tx_bytes);
	text_add_number(out, "rx_bytes", view.rx_bytes);
	text_add_number(out, "persistent_keepalive_interval", view.keepalive);
	for (const struct allowedips_node *node = allowedips_next(wg_peer_allowed(peer), NULL); node;
	     node = allowedips_next(wg_peer_allowed(peer), node)) {
		allowedips_cidr(node, &cidr);
		cidr_text(text, &cidr);
		text_add_word(out, "allowed_ip", text);
	}
	if (uapi->full) {
		text_add_word(out, "warren_state", wg_access_words(view.access));
		text_add_number(out, "warren_end", (uint64_t)view.end);
		text_add_number(out, "warren_rate_rx", view.limits.rate_rx);
		text_add_number(out, "warren_rate_tx", view.limits.rate_tx);
		text_add_number(out, "warren_mtu", view.limits.mtu);
	}
	bytes_wipe(&view, sizeof(view));
}

static void
write_event(struct uapi *uapi, const struct wg_peer *peer)
{
	struct wg_peer_view view;

	wg_peer_view(peer, &view);
	text_add_hex(&uapi->out, "public_key", view.key.b, KEY_LEN);
	write_domain(uapi, view.domain);
	write_endpoint(&uapi->out, &view.endpoint);
	write_handshake(&uapi->out, view.last_handshake);
	text_add(&uapi->out, "\n");
	bytes_wipe(&view, sizeof(view));
}

/* In words too, for who has shown that he knows us. */
static void
answer_errno(struct uapi *uapi, int error)
{
	if (error < 0 && uapi->extended)
		text_add_word(&uapi->out, "warren_trouble",
			      uapi->trouble[0] != '\0' ? uapi->trouble : error_words(error));
	text_add(&uapi->out, "errno=%d\n\n", error);
	uapi->state = IDLE;
}

/* As much of the answer as there is room for. */
static void
answer_continue(struct uapi *uapi)
{
	const struct wg_domain *domain;
	const struct wg_peer *peer;

	while (text_len(&uapi->out) < UAPI_OUT_HIGH) {
		peer = walk_peer(&uapi->walk, uapi->host->device);
		if (peer) {
			write_peer(uapi, peer);
			continue;
		}
		domain = walk_on(uapi);
		if (!domain) {
			walk_end(&uapi->walk);
			answer_errno(uapi, 0);
			return;
		}
		write_domain(uapi, domain);
	}
}

/* The next one of which something is to be told; NULL: nothing is. */
static const struct wg_peer *
watch_next(struct uapi *uapi)
{
	const struct wg_peer *peer;

	for (;;) {
		peer = walk_peer(&uapi->walk, uapi->host->device);
		if (peer)
			return peer;
		if (walk_on(uapi))
			continue;
		walk_end(&uapi->walk);
		if (uapi->overrun) {
			uapi->overrun = false;
			uapi->walk.all = true;
			continue;
		}
		if (uapi->n_changes == 0)
			return NULL;
		peer = wg_peer_by_id(uapi->host->device, uapi->changes[uapi->first_change]);
		uapi->first_change = (uapi->first_change + 1) % UAPI_WATCH_QUEUE;
		uapi->n_changes--;
		if (peer)
			return peer;
	}
}

static void
watch_continue(struct uapi *uapi)
{
	const struct wg_peer *peer;

	while (text_len(&uapi->out) < UAPI_OUT_HIGH && (peer = watch_next(uapi)))
		write_event(uapi, peer);
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
	if (text_len(&uapi->out) == 0 && uapi->state != ANSWER)
		text_done(&uapi->out);
}

/* Requests. */

/* Of one's own domain there may be nothing yet: that is no error. */
static int
get_begin(struct uapi *uapi)
{
	const struct uapi_host *host = uapi->host;
	const char *name = uapi->asked[0] != '\0' ? uapi->asked : uapi->domain;
	const struct wg_domain *domain;

	uapi->walk = (struct walk){.all = strcmp(name, ALL_DOMAINS) == 0};
	if (uapi->walk.all) {
		write_device(uapi);
		return 0;
	}
	domain = name[0] != '\0' ? host->domain_find(host->ctx, name) : host->domain;
	if (!domain && uapi->asked[0] != '\0')
		return -ENODEV;
	if (domain && walk_domain(&uapi->walk, domain) < 0)
		return -ENOMEM;
	write_device(uapi);
	if (domain && uapi->full)
		write_domain(uapi, domain);
	return 0;
}

static void
get_end(struct uapi *uapi)
{
	int r = uapi->error;

	if (r == 0)
		r = get_begin(uapi);
	if (r < 0)
		answer_errno(uapi, r);
	else
		uapi->state = ANSWER;
}

static void
set_end(struct uapi *uapi)
{
	bool watching = false;
	const int r = uapi_set_end(&uapi->set, uapi->error, &watching);

	if (uapi->error == 0)
		snprintf(uapi->trouble, sizeof(uapi->trouble), "%s", uapi->set.trouble);
	answer_errno(uapi, r);
	if (watching)
		uapi->state = WATCH;
}

static int
get_line(struct uapi *uapi, const char *key, const char *value)
{
	if (strcmp(key, "warren_protocol") == 0 && strcmp(value, "1") == 0) {
		uapi->full = true;
		return 0;
	}
	if (strcmp(key, "warren_domain") != 0)
		return -EINVAL;
	if (strcmp(value, uapi->domain) != 0 && uapi->rights == UAPI_READ)
		return -EACCES;
	if (strcmp(value, ALL_DOMAINS) != 0 && !uapi_domain_is_name(value))
		return -EINVAL;
	snprintf(uapi->asked, sizeof(uapi->asked), "%s", value);
	return 0;
}

/* The first line says what is asked for.  What is not a request ends the connection, as in the reference. */
static void
request_begin(struct uapi *uapi, const char *line)
{
	uapi->error = 0;
	uapi->begun = uapi->extended = uapi->full = false;
	uapi->trouble[0] = uapi->asked[0] = '\0';
	if (strcmp(line, "get=1") == 0) {
		uapi->state = GET;
	} else if (strcmp(line, "set=1") == 0) {
		uapi_set_begin(&uapi->set, uapi->host, uapi->rights, uapi->domain);
		uapi->state = SET;
	} else {
		uapi->state = CLOSED;
	}
}

/* Values may be secret: the words name the key alone. */
static void
line_fail(struct uapi *uapi, const char *key, int error)
{
	const char *words =
		uapi->state == SET && uapi->set.trouble[0] != '\0' ? uapi->set.trouble : error_words(error);

	uapi->error = error;
	if (uapi->extended)
		snprintf(uapi->trouble, sizeof(uapi->trouble), "%.*s: %s", KEY_SHOWN, key, words);
}

static void
request_line(struct uapi *uapi, char *line)
{
	char *value = strchr(line, '=');
	int r;

	if (!value) {
		uapi->error = -EPROTO;
		return;
	}
	*value++ = '\0';
	if (!uapi->begun)
		uapi->extended = strncmp(line, "warren_", strlen("warren_")) == 0;
	uapi->begun = true;
	if (uapi->state == GET)
		r = get_line(uapi, line, value);
	else
		r = uapi_set_line(&uapi->set, line, value);
	if (r < 0)
		line_fail(uapi, line, r);
}

static void
line_take(struct uapi *uapi, char *line, bool too_long)
{
	if (uapi->state == IDLE) {
		request_begin(uapi, too_long ? "" : line);
	} else if (line[0] == '\0' && !too_long) {
		if (uapi->state == GET)
			get_end(uapi);
		else
			set_end(uapi);
	} else if (uapi->error == 0 && too_long) {
		uapi->error = -EPROTO;
	} else if (uapi->error == 0) {
		request_line(uapi, line);
	}
}

/* A part of a line.  A NUL in it would hide what follows. */
static void
line_keep(struct uapi *uapi, const char *bytes, size_t len)
{
	if (len > UAPI_LINE_MAX - uapi->line_len || memchr(bytes, '\0', len))
		uapi->line_too_long = true;
	if (uapi->line_too_long)
		return;
	memcpy(uapi->line + uapi->line_len, bytes, len);
	uapi->line_len += len;
}

/* A line of which parts were kept is through. */
static void
line_kept_take(struct uapi *uapi)
{
	const size_t len = uapi->line_len;
	const bool too_long = uapi->line_too_long;

	uapi->line[len] = '\0';
	uapi->line_len = 0;
	uapi->line_too_long = false;
	line_take(uapi, uapi->line, too_long);
	bytes_wipe(uapi->line, len);
}

/* What lies whole before us is taken where it lies. */
ssize_t
uapi_input(struct uapi *uapi, char *bytes, size_t len)
{
	size_t n = 0;

	while (n < len && uapi->state != ANSWER && uapi->state != CLOSED &&
	       text_len(&uapi->out) < UAPI_OUT_HIGH) {
		char *line = bytes + n, *end = memchr(line, '\n', len - n);
		const size_t line_len = end ? (size_t)(end - line) : len - n;

		if (uapi->state == WATCH) /* nothing is asked any more */
			return (ssize_t)len;
		if (!end || uapi->line_len > 0 || uapi->line_too_long || line_len > UAPI_LINE_MAX ||
		    memchr(line, '\0', line_len)) {
			line_keep(uapi, line, line_len);
			if (end)
				line_kept_take(uapi);
		} else {
			*end = '\0';
			line_take(uapi, line, false);
		}
		n += line_len + (end ? 1 : 0);
	}
	return uapi->state == CLOSED ? -ERR_CLOSED : (ssize_t)n;
}
