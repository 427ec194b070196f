#include "server/control/plan.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"

/* Whether @to lets through less than @from in any respect. */
static bool
is_narrower(const struct access *to, const struct access *from)
{
	if (from->state == ACCESS_ACTIVE && to->state != ACCESS_ACTIVE)
		return true;
	if (from->state == ACCESS_QUARANTINED && to->state == ACCESS_CUT)
		return true;
	if (to->end && (!from->end || to->end < from->end))
		return true;
	return !allowed_ips_within(&from->allowed, &to->allowed);
}

static bool
is_equal(const struct access *a, const struct access *b)
{
	return a->state == b->state && a->end == b->end && allowed_ips_equal(&a->allowed, &b->allowed);
}

static bool
may_initiate(const struct wanted_peer *peer, time_t now)
{
	return peer->awaits_initiation && peer->access.state == ACCESS_ACTIVE &&
	       peer->last_endpoint.ip.family && (!peer->access.end || peer->access.end > now);
}

static const struct domain_name first = {WANTED_FIRST_DOMAIN};

static const struct domain_name *
domain_present(const struct tunnel_peer *present)
{
	return *present->domain.text ? &present->domain : &first;
}

static const struct domain_name *
domain_wanted(const struct wanted *wanted, const struct wanted_peer *peer)
{
	const struct wanted_domain *domain = wanted_domain(wanted, peer->tenant);

	return domain ? &domain->domain : NULL;
}

/* Whether that peer is nobody's, or another tenant's than whose it is there. */
static bool
is_stray(const struct wanted *all, const struct wanted_peer *wanted, const struct tunnel_peer *present)
{
	const struct domain_name *domain = wanted ? domain_wanted(all, wanted) : NULL;

	return !domain || (present && !domain_name_equal(domain, domain_present(present)));
}

static enum change
change_of(const struct wanted *all, const struct wanted_peer *wanted, const struct tunnel_peer *present,
	  time_t now)
{
	if (is_stray(all, wanted, present))
		return present ? CHANGE_REMOVE : CHANGE_NONE;
	if (present && is_narrower(&wanted->access, &present->access))
		return CHANGE_NARROW;
	if (!present || !is_equal(&wanted->access, &present->access))
		return wanted->refused ? CHANGE_NONE : CHANGE_GRANT;
	return may_initiate(wanted, now) ? CHANGE_INITIATE : CHANGE_NONE;
}

static void
write_allowed(FILE *out, const struct allowed_ips *allowed)
{
	char text[CIDR_TEXT_LEN];

	fputs("replace_allowed_ips=true\n", out);
	for (size_t i = 0; i < allowed->n; i++) {
		cidr_text(text, &allowed->v[i]);
		fprintf(out, "allowed_ip=%s\n", text);
	}
}

static void
write_access(FILE *out, const struct wanted_peer *wanted, const struct tunnel_peer *present)
{
	const struct access *to = &wanted->access;
	char text[ENDPOINT_TEXT_LEN];

	if (present)
		fputs("update_only=true\n", out);
	if (!present || present->access.state != to->state)
		fprintf(out, "warren_state=%s\n", access_word(to->state));
	if (!present || present->access.end != to->end)
		fprintf(out, "warren_end=%lld\n", (long long)to->end);
	if (!present && wanted->last_endpoint.ip.family) {
		endpoint_text(text, &wanted->last_endpoint);
		fprintf(out, "endpoint=%s\n", text);
	}
	if (!present || !allowed_ips_equal(&present->access.allowed, &to->allowed))
		write_allowed(out, &to->allowed);
}

static void
write_key(FILE *out, const struct public_key *key)
{
	char text[KEY_HEX_LEN];

	hex_encode(text, key->b, KEY_LEN);
	fprintf(out, "public_key=%s\n", text);
}

struct step_writer {
	FILE *out;
	const struct wanted *wanted;
	const struct tunnel_state *present;
	struct plan_step *step;
	struct domain_name domain; /* of what was written last */
	size_t initiations;        /* left */
	time_t now;
};

/* Where none is named the first is meant, so that a gateway of one tenant says nothing of domains. */
static void
write_domain(struct step_writer *writer, const struct domain_name *domain)
{
	if (domain_name_equal(&writer->domain, domain))
		return;
	fprintf(writer->out, "warren_domain=%s\n", domain->text);
	writer->domain = *domain;
}

static bool
domain_is_wanted(const struct wanted *wanted, const struct domain_name *domain)
{
	for (size_t i = 0; i < wanted->n_domains; i++)
		if (domain_name_equal(&wanted->domains[i].domain, domain))
			return true;
	return false;
}

/* Those whose tenant is gone; by now without peers. */
static void
write_domains(struct step_writer *writer, size_t max)
{
	for (size_t i = 0; i < writer->present->n_domains && writer->step->n < max; i++) {
		const struct domain_name *domain = &writer->present->domains[i];

		if (domain_is_wanted(writer->wanted, domain))
			continue;
		write_domain(writer, domain);
		fputs("warren_remove_domain=true\n", writer->out);
		writer->step->told[writer->step->n++] = (struct told){.domain = *domain};
	}
}

static int
write_peer(struct step_writer *writer, const struct wanted_peer *wanted, const struct tunnel_peer *present)
{
	struct told *told = &writer->step->told[writer->step->n];
	int r;

	assert(wanted || present);
	*told = (struct told){.key = wanted ? wanted->key : present->key};
	told->domain = present ? *domain_present(present) : *domain_wanted(writer->wanted, wanted);
	write_domain(writer, &told->domain);
	write_key(writer->out, &told->key);
	if (is_stray(writer->wanted, wanted, present)) {
		fputs("remove=true\n", writer->out);
		writer->step->n++;
		return 0;
	}
	told->id = wanted->id;
	told->access = (struct access){.state = wanted->access.state, .end = wanted->access.end};
	r = allowed_ips_set(&told->access.allowed, wanted->access.allowed.v, wanted->access.allowed.n);
	if (r < 0)
		return r;
	writer->step->n++;
	write_access(writer->out, wanted, present);
	if (writer->initiations && may_initiate(wanted, writer->now)) {
		fputs("warren_initiate=true\n", writer->out);
		told->initiate = true;
		writer->initiations--;
	}
	return 0;
}

/* Both lists side by side, by key. */
static int
write_changes(struct step_writer *writer, enum change change, size_t max)
{
	const struct wanted *wanted = writer->wanted;
	const struct tunnel_state *present = writer->present;
	size_t w = 0, p = 0;

	while ((w < wanted->n || p < present->n_peers) && writer->step->n < max) {
		const struct wanted_peer *a = w < wanted->n ? wanted->by_key[w] : NULL;
		const struct tunnel_peer *b = p < present->n_peers ? &present->peers[p] : NULL;
		const int order = !a ? 1 : !b ? -1 : memcmp(a->key.b, b->key.b, KEY_LEN);
		int r;

		if (order > 0)
			a = NULL;
		else
			w++;
		if (order < 0)
			b = NULL;
		else
			p++;
		if (change_of(wanted, a, b, writer->now) != change)
			continue;
		if (change == CHANGE_INITIATE && !writer->initiations)
			return 0;
		r = write_peer(writer, a, b);
		if (r < 0)
			return r;
	}
	return 0;
}

int
plan_next(const struct wanted *wanted, const struct tunnel_state *present, const struct plan_limits *limits,
	  struct plan_step *ret)
{
	struct step_writer writer = {.wanted = wanted,
				     .present = present,
				     .step = ret,
				     .domain = first,
				     .initiations = limits->initiations,
				     .now = limits->now};
	const size_t max = MIN(limits->peers, PLAN_PEERS_MAX);
	int r = 0;

	*ret = (struct plan_step){.change = CHANGE_NONE};
	writer.out = open_memstream(&ret->text, &ret->len);
	if (!writer.out)
		return -ENOMEM;
	fputs("set=1\n", writer.out);
	for (enum change change = CHANGE_REMOVE; change <= CHANGE_INITIATE && r == 0 && ret->n == 0;
	     change++) {
		if (change == CHANGE_REMOVE_DOMAIN)
			write_domains(&writer, max);
		else
			r = write_changes(&writer, change, max);
		ret->change = ret->n ? change : CHANGE_NONE;
	}
	fputs("\n", writer.out);
	if (fclose(writer.out) != 0 && r == 0)
		r = -ENOMEM;
	return r;
}

void
plan_step_done(struct plan_step *step)
{
	for (size_t i = 0; i < step->n; i++)
		allowed_ips_done(&step->told[i].access.allowed);
	free(step->text);
	step->text = NULL;
	step->n = step->len = 0;
	step->change = CHANGE_NONE;
}

/*
 * An allowed IP that moves is nobody else's by now: who had it was narrowed in an earlier step, or is in this
 * one.
 */
int
plan_step_applied(struct plan_step *step, struct wanted *wanted, struct tunnel_state *present)
{
	for (size_t i = 0; i < step->n; i++) {
		struct told *told = &step->told[i];
		struct wanted_peer *peer = wanted_by_key(wanted, &told->key);
		struct tunnel_peer *has;

		if (step->change == CHANGE_REMOVE) {
			tunnel_state_remove(present, &told->key);
			continue;
		}
		if (step->change == CHANGE_REMOVE_DOMAIN) {
			tunnel_state_remove_domain(present, &told->domain);
			continue;
		}
		has = tunnel_state_ensure(present, &told->key);
		if (!has || tunnel_state_domain(present, &told->domain) < 0)
			return -ENOMEM;
		has->domain = told->domain;
		allowed_ips_done(&has->access.allowed);
		has->access = told->access;
		told->access.allowed = (struct allowed_ips){0};
		if (peer && told->initiate)
			peer->awaits_initiation = false;
	}
	return 0;
}

size_t
plan_mark_recent(struct wanted *wanted, const struct tunnel_state *present, time_t now)
{
	size_t n = 0;

	for (size_t i = 0; i < wanted->n; i++) {
		struct wanted_peer *peer = &wanted->v[i];

		peer->awaits_initiation = peer->last_handshake_at > 0 &&
					  now - peer->last_handshake_at < RECENT_SECONDS &&
					  !tunnel_state_peer(present, &peer->key);
		n += peer->awaits_initiation;
	}
	return n;
}
