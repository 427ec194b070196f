#include "server/control/uapi.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/errors.h"
#include "base/text.h"

static const char *const access_words[] = {
#define X(name, word) [ACCESS_##name] = word,
	ACCESS_STATES(X)
#undef X
};

const char *
access_word(enum access_state state)
{
	assert(state < ACCESS_COUNT);
	return access_words[state];
}

bool
domain_name_equal(const struct domain_name *a, const struct domain_name *b)
{
	return strcmp(a->text, b->text) == 0;
}

static int
cidr_compare(const void *a, const void *b)
{
	const struct cidr *x = a, *y = b;

	if (x->ip.family != y->ip.family)
		return x->ip.family < y->ip.family ? -1 : 1;
	if (x->len != y->len)
		return x->len < y->len ? -1 : 1;
	return memcmp(x->ip.addr, y->ip.addr, sizeof(x->ip.addr));
}

size_t
allowed_ips_tidy(struct cidr *v, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++)
		cidr_mask(&v[i]);
	if (n)
		qsort(v, n, sizeof(*v), cidr_compare);
	for (size_t i = 0; i < n; i++)
		if (kept == 0 || cidr_compare(&v[kept - 1], &v[i]) != 0)
			v[kept++] = v[i];
	return kept;
}

int
allowed_ips_set(struct allowed_ips *ret, const struct cidr *v, size_t n)
{
	struct cidr *copy = NULL;

	if (n) {
		copy = malloc(n * sizeof(*copy));
		if (!copy)
			return -ENOMEM;
		memcpy(copy, v, n * sizeof(*copy));
	}
	free(ret->v);
	ret->v = copy;
	ret->n = copy ? allowed_ips_tidy(copy, n) : 0;
	return 0;
}

void
allowed_ips_done(struct allowed_ips *allowed)
{
	free(allowed->v);
	*allowed = (struct allowed_ips){0};
}

bool
allowed_ips_within(const struct allowed_ips *a, const struct allowed_ips *b)
{
	size_t k = 0;

	for (size_t i = 0; i < a->n; i++) {
		while (k < b->n && cidr_compare(&b->v[k], &a->v[i]) < 0)
			k++;
		if (k == b->n || cidr_compare(&b->v[k], &a->v[i]) != 0)
			return false;
	}
	return true;
}

bool
allowed_ips_equal(const struct allowed_ips *a, const struct allowed_ips *b)
{
	return a->n == b->n && allowed_ips_within(a, b);
}

/* Lines */

struct lines {
	const char *at, *end;
};

struct line {
	char key[UAPI_NAME_LEN * 2];
	char value[160];
};

/* 1: a line; 0: the empty line or the end; -ERR_MESSAGE.  A value too long for us comes cut, with its key. */
static int
line_next(struct lines *lines, struct line *ret)
{
	const char *end, *equals;
	size_t key_len, value_len;

	if (lines->at == lines->end)
		return 0;
	end = memchr(lines->at, '\n', (size_t)(lines->end - lines->at));
	if (!end || memchr(lines->at, '\0', (size_t)(end - lines->at)))
		return -ERR_MESSAGE;
	if (end == lines->at)
		return 0;
	equals = memchr(lines->at, '=', (size_t)(end - lines->at));
	if (!equals || equals == lines->at)
		return -ERR_MESSAGE;
	key_len = (size_t)(equals - lines->at);
	value_len = MIN((size_t)(end - equals - 1), sizeof(ret->value) - 1);
	if (key_len >= sizeof(ret->key))
		return -ERR_MESSAGE;
	memcpy(ret->key, lines->at, key_len);
	ret->key[key_len] = '\0';
	memcpy(ret->value, equals + 1, value_len);
	ret->value[value_len] = '\0';
	lines->at = end + 1;
	return 1;
}

static int
number(const char *text, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;

	if (!*text)
		return -ERR_MESSAGE;
	for (; *text; text++) {
		const unsigned digit = (unsigned)(*text - '0');

		if (digit > 9 || v > (UINT64_MAX - digit) / 10)
			return -ERR_MESSAGE;
		v = v * 10 + digit;
	}
	if (v > max)
		return -ERR_MESSAGE;
	*ret = v;
	return 0;
}

static int
seconds(const char *text, time_t *ret)
{
	uint64_t v;

	if (number(text, INT64_MAX, &v) < 0)
		return -ERR_MESSAGE;
	*ret = (time_t)v;
	return 0;
}

static int
key_value(const char *text, struct public_key *ret)
{
	return hex_decode(ret->b, KEY_LEN, text) < 0 ? -ERR_MESSAGE : 0;
}

/* An endpoint with a scope ("[fe80::1%2]:1") is one that we cannot use elsewhere: taken as not known. */
static int
endpoint_value(const char *text, struct endpoint *ret)
{
	if (strchr(text, '%')) {
		*ret = (struct endpoint){0};
		return 0;
	}
	return endpoint_parse(ret, text) < 0 ? -ERR_MESSAGE : 0;
}

static int
error_value(const char *text, int *ret)
{
	uint64_t v;
	const bool negative = *text == '-';

	if (number(text + negative, 4095, &v) < 0)
		return -ERR_MESSAGE;
	*ret = -(int)v;
	return 0;
}

static bool
word_is_plain(const char *text)
{
	return *text && strlen(text) < UAPI_NAME_LEN &&
	       text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_-")] == '\0';
}

/* Peers */

static int
key_compare(const struct public_key *a, const struct public_key *b)
{
	return memcmp(a->b, b->b, KEY_LEN);
}

static int
peer_compare(const void *a, const void *b)
{
	return key_compare(&((const struct tunnel_peer *)a)->key, &((const struct tunnel_peer *)b)->key);
}

static void
peer_done(struct tunnel_peer *peer)
{
	allowed_ips_done(&peer->access.allowed);
}

static struct tunnel_peer *
peers_grow(struct tunnel_state *state)
{
	if (state->n_peers == state->cap_peers) {
		const size_t cap = state->cap_peers ? state->cap_peers * 2 : 16;
		struct tunnel_peer *peers = reallocarray(state->peers, cap, sizeof(*peers));

		if (!peers)
			return NULL;
		state->peers = peers;
		state->cap_peers = cap;
	}
	memset(&state->peers[state->n_peers], 0, sizeof(*state->peers));
	return &state->peers[state->n_peers++];
}

/* The first place whose key is not below @key. */
static size_t
peer_place(const struct tunnel_state *state, const struct public_key *key)
{
	size_t low = 0, high = state->n_peers;

	while (low < high) {
		const size_t middle = low + (high - low) / 2;

		if (key_compare(&state->peers[middle].key, key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct tunnel_peer *
tunnel_state_peer(const struct tunnel_state *state, const struct public_key *key)
{
	const size_t i = peer_place(state, key);

	return i < state->n_peers && key_compare(&state->peers[i].key, key) == 0 ? &state->peers[i] : NULL;
}

struct tunnel_peer *
tunnel_state_ensure(struct tunnel_state *state, const struct public_key *key)
{
	const size_t i = peer_place(state, key);

	if (i < state->n_peers && key_compare(&state->peers[i].key, key) == 0)
		return &state->peers[i];
	if (!peers_grow(state))
		return NULL;
	memmove(&state->peers[i + 1], &state->peers[i], (state->n_peers - 1 - i) * sizeof(*state->peers));
	state->peers[i] = (struct tunnel_peer){.key = *key};
	return &state->peers[i];
}

void
tunnel_state_remove(struct tunnel_state *state, const struct public_key *key)
{
	const size_t i = peer_place(state, key);

	if (i == state->n_peers || key_compare(&state->peers[i].key, key) != 0)
		return;
	peer_done(&state->peers[i]);
	memmove(&state->peers[i], &state->peers[i + 1], (state->n_peers - 1 - i) * sizeof(*state->peers));
	state->n_peers--;
}

static int
domain_add(struct tunnel_state *state, const struct domain_name *domain)
{
	struct domain_name *domains;

	domains = reallocarray(state->domains, state->n_domains + 1, sizeof(*domains));
	if (!domains)
		return -ENOMEM;
	state->domains = domains;
	domains[state->n_domains++] = *domain;
	return 0;
}

int
tunnel_state_domain(struct tunnel_state *state, const struct domain_name *domain)
{
	for (size_t i = 0; i < state->n_domains; i++)
		if (domain_name_equal(&state->domains[i], domain))
			return 0;
	return domain_add(state, domain);
}

void
tunnel_state_remove_domain(struct tunnel_state *state, const struct domain_name *domain)
{
	size_t kept = 0;

	for (size_t i = 0; i < state->n_domains; i++)
		if (!domain_name_equal(&state->domains[i], domain))
			state->domains[kept++] = state->domains[i];
	state->n_domains = kept;
}

void
tunnel_state_done(struct tunnel_state *state)
{
	for (size_t i = 0; i < state->n_peers; i++)
		peer_done(&state->peers[i]);
	free(state->peers);
	free(state->domains);
	*state = (struct tunnel_state){0};
}

/* The answer */

struct reading {
	struct tunnel_state *state;
	struct tunnel_peer *peer; /* the one being read */
	size_t n_allowed;
	struct cidr allowed[UAPI_ALLOWED_MAX];
	bool ended;
};

static int
peer_finish(struct reading *reading)
{
	if (!reading->peer)
		return 0;
	return allowed_ips_set(&reading->peer->access.allowed, reading->allowed, reading->n_allowed);
}

static int
domain_begin(struct reading *reading, const char *value)
{
	struct tunnel_state *state = reading->state;
	struct domain_name domain = {0};
	int r;

	r = peer_finish(reading);
	if (r < 0)
		return r;
	reading->peer = NULL;
	if (state->n_domains == UAPI_DOMAINS_MAX || !*value)
		return -ERR_MESSAGE;
	snprintf(domain.text, sizeof(domain.text), "%.15s", value);
	return domain_add(state, &domain);
}

static int
peer_begin(struct reading *reading, const char *value)
{
	int r;

	r = peer_finish(reading);
	if (r < 0)
		return r;
	if (reading->state->n_peers == UAPI_PEERS_MAX)
		return -ERR_MESSAGE;
	reading->n_allowed = 0;
	reading->peer = peers_grow(reading->state);
	if (!reading->peer)
		return -ENOMEM;
	if (reading->state->n_domains)
		reading->peer->domain = reading->state->domains[reading->state->n_domains - 1];
	return key_value(value, &reading->peer->key);
}

static int
peer_allowed(struct reading *reading, const char *value)
{
	if (reading->n_allowed == UAPI_ALLOWED_MAX)
		return -ERR_MESSAGE;
	return cidr_parse(&reading->allowed[reading->n_allowed++], value) < 0 ? -ERR_MESSAGE : 0;
}

static int
peer_state(struct tunnel_peer *peer, const char *value)
{
	for (size_t i = 0; i < ACCESS_COUNT; i++)
		if (strcmp(value, access_words[i]) == 0) {
			peer->access.state = (enum access_state)i;
			return 0;
		}
	return -ERR_MESSAGE;
}

static int
peer_line(struct reading *reading, const struct line *line)
{
	struct tunnel_peer *peer = reading->peer;

	if (strcmp(line->key, "allowed_ip") == 0)
		return peer_allowed(reading, line->value);
	if (strcmp(line->key, "endpoint") == 0)
		return endpoint_value(line->value, &peer->endpoint);
	if (strcmp(line->key, "last_handshake_time_sec") == 0)
		return seconds(line->value, &peer->last_handshake_at);
	if (strcmp(line->key, "rx_bytes") == 0)
		return number(line->value, UINT64_MAX, &peer->rx_bytes);
	if (strcmp(line->key, "tx_bytes") == 0)
		return number(line->value, UINT64_MAX, &peer->tx_bytes);
	if (strcmp(line->key, "warren_end") == 0)
		return seconds(line->value, &peer->access.end);
	if (strcmp(line->key, "warren_state") == 0)
		return peer_state(peer, line->value);
	return 0;
}

/* "STATE DOWNS UPS FIGURE"; more behind is a newer tunnel's. */
static int
rung_line(struct tunnel_state *state, const char *name, char *value)
{
	struct uapi_rung *rung = &state->rungs[state->n_rungs];
	uint64_t *const numbers[] = {&rung->downs, &rung->ups, &rung->figure};
	char *save = NULL;
	const char *word = strtok_r(value, " ", &save);

	if (state->n_rungs == UAPI_RUNGS_MAX)
		return 0;
	if (!word_is_plain(name) || !word || !word_is_plain(word))
		return -ERR_MESSAGE;
	text_copy(rung->name, sizeof(rung->name), name);
	text_copy(rung->state, sizeof(rung->state), word);
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		word = strtok_r(NULL, " ", &save);
		if (!word || number(word, UINT64_MAX, numbers[i]) < 0)
			return -ERR_MESSAGE;
	}
	state->n_rungs++;
	return 0;
}

/* Its calls and its segments come as lines of their own. */
static int
calls_line(struct tunnel_state *state, const char *name, const char *value, bool segments)
{
	struct uapi_calls *calls = NULL;
	size_t i = 0;

	while (i < state->n_calls && strcmp(state->calls[i].name, name) != 0)
		i++;
	if (i == UAPI_CALLS_MAX)
		return 0;
	if (!word_is_plain(name))
		return -ERR_MESSAGE;
	calls = &state->calls[i];
	if (i == state->n_calls) {
		text_copy(calls->name, sizeof(calls->name), name);
		state->n_calls++;
	}
	return number(value, UINT64_MAX, segments ? &calls->segments : &calls->calls);
}

static int
drop_line(struct tunnel_state *state, const char *name, const char *value)
{
	struct uapi_count *count = &state->drops[state->n_drops];

	if (state->n_drops == UAPI_DROPS_MAX)
		return 0;
	if (!word_is_plain(name) || number(value, UINT64_MAX, &count->n) < 0)
		return -ERR_MESSAGE;
	text_copy(count->name, sizeof(count->name), name);
	state->n_drops += count->n > 0;
	return 0;
}

static const char *
after(const char *text, const char *prefix)
{
	const size_t len = strlen(prefix);

	return strncmp(text, prefix, len) == 0 ? text + len : NULL;
}

static int
aead_line(struct tunnel_state *state, const char *value)
{
	if (!word_is_plain(value))
		return -ERR_MESSAGE;
	text_copy(state->aead, sizeof(state->aead), value);
	return 0;
}

static int
device_line(struct tunnel_state *state, struct line *line)
{
	const struct {
		const char *key;
		uint64_t *n;
	} numbers[] = {
		{"warren_datagrams", &state->datagrams},
		{"warren_workers", &state->workers},
		{"warren_handoff_in", &state->handoff_in},
		{"warren_handoff_out", &state->handoff_out},
	};
	const char *name;

	if (strcmp(line->key, "warren_public_key") == 0) {
		state->has_key = true;
		return key_value(line->value, &state->key);
	}
	if (strcmp(line->key, "warren_aead") == 0)
		return aead_line(state, line->value);
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		if (strcmp(line->key, numbers[i].key) == 0) {
			state->has_datagrams |= numbers[i].n == &state->datagrams;
			return number(line->value, UINT64_MAX, numbers[i].n);
		}
	if ((name = after(line->key, "warren_rung_")))
		return rung_line(state, name, line->value);
	if ((name = after(line->key, "warren_calls_")))
		return calls_line(state, name, line->value, false);
	if ((name = after(line->key, "warren_segments_")))
		return calls_line(state, name, line->value, true);
	if ((name = after(line->key, "warren_drop_")))
		return drop_line(state, name, line->value);
	return 0;
}

static int
state_line(struct reading *reading, struct line *line)
{
	if (reading->ended)
		return -ERR_MESSAGE;
	if (strcmp(line->key, "errno") == 0) {
		reading->ended = true;
		return error_value(line->value, &reading->state->error);
	}
	if (strcmp(line->key, "warren_domain") == 0)
		return domain_begin(reading, line->value);
	if (strcmp(line->key, "public_key") == 0)
		return peer_begin(reading, line->value);
	return reading->peer ? peer_line(reading, line) : device_line(reading->state, line);
}

/* In order; the same key twice is refused. */
static int
peers_order(struct tunnel_state *state)
{
	if (state->n_peers)
		qsort(state->peers, state->n_peers, sizeof(*state->peers), peer_compare);
	for (size_t i = 1; i < state->n_peers; i++)
		if (peer_compare(&state->peers[i - 1], &state->peers[i]) == 0)
			return -ERR_MESSAGE;
	return 0;
}

int
tunnel_state_parse(struct tunnel_state *ret, const char *text, size_t len)
{
	struct tunnel_state state = {0};
	_cleanup_(freep) struct reading *reading = calloc(1, sizeof(*reading));
	struct lines lines = {text, text + len};
	struct line line;
	int r;

	*ret = (struct tunnel_state){0};
	if (!reading)
		return -ENOMEM;
	reading->state = &state;
	while ((r = line_next(&lines, &line)) > 0) {
		r = state_line(reading, &line);
		if (r < 0)
			break;
	}
	if (r == 0)
		r = reading->ended ? peer_finish(reading) : -ERR_MESSAGE;
	if (r == 0)
		r = peers_order(&state);
	if (r < 0) {
		tunnel_state_done(&state);
		return r;
	}
	*ret = state;
	return 0;
}

int
uapi_errno(const char *text, size_t len, int *error)
{
	struct lines lines = {text, text + len};
	struct line line;
	int r;

	while ((r = line_next(&lines, &line)) > 0)
		if (strcmp(line.key, "errno") == 0)
			return error_value(line.value, error);
	return -ERR_MESSAGE;
}

int
uapi_event_parse(struct uapi_event *ret, const char *text, size_t len)
{
	struct lines lines = {text, text + len};
	struct uapi_event event = {0};
	struct line line;
	bool keyed = false;
	int r;

	while ((r = line_next(&lines, &line)) > 0) {
		if (strcmp(line.key, "public_key") == 0) {
			r = keyed ? -ERR_MESSAGE : key_value(line.value, &event.key);
			keyed = true;
		} else if (strcmp(line.key, "endpoint") == 0) {
			r = endpoint_value(line.value, &event.endpoint);
		} else if (strcmp(line.key, "last_handshake_time_sec") == 0) {
			r = seconds(line.value, &event.handshake_at);
		}
		if (r < 0)
			return r;
	}
	if (r < 0 || !keyed)
		return -ERR_MESSAGE;
	*ret = event;
	return 0;
}

static bool
line_is_shown(const char *line, size_t len)
{
	static const char *const hidden[] = {"private_key=", "preshared_key=", "errno="};
	static const char own[] = "warren_public_key=";

	for (size_t i = 0; i < ARRAY_LEN(hidden); i++)
		if (len >= strlen(hidden[i]) && memcmp(line, hidden[i], strlen(hidden[i])) == 0)
			return false;
	if (len >= strlen("warren_") && memcmp(line, "warren_", strlen("warren_")) == 0)
		return len >= strlen(own) && memcmp(line, own, strlen(own)) == 0;
	return len > 0;
}

char *
uapi_for_show(const char *answer, size_t len, size_t *ret_len)
{
	static const char end[] = "errno=0\n\n";
	char *out = malloc(len + sizeof(end));
	size_t used = 0;

	if (!out)
		return NULL;
	for (const char *at = answer, *stop = answer + len; at < stop;) {
		const char *newline = memchr(at, '\n', (size_t)(stop - at));
		const size_t line_len = newline ? (size_t)(newline - at) : (size_t)(stop - at);

		if (newline && line_is_shown(at, line_len)) {
			memcpy(out + used, at, line_len + 1);
			used += line_len + 1;
		}
		at += line_len + (newline != NULL);
	}
	memcpy(out + used, end, sizeof(end));
	*ret_len = used + sizeof(end) - 1;
	return out;
}
