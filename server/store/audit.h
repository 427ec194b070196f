/*
 * The audit log: append-only, in the transaction of the change, a hash chain per tenant.
 *
 *	hash(seq) = SHA-256 of  "warren-audit-1" NUL, previous hash (32 bytes; zeroes before the first),
 *	            tenant, seq, at (microseconds since the epoch): 8 bytes big-endian each,
 *	            actor, source, action, object, before, after, request: each 4 bytes length, then UTF-8
 *
 * Operations of the store append their own row, so a change without one cannot be made through it.
 */
#ifndef SERVER_STORE_AUDIT_H
#define SERVER_STORE_AUDIT_H

#include <stddef.h>
#include <stdint.h>

#include "server/store/store.h"

#define AUDIT_HASH_LEN 32
#define AUDIT_TEXT_MAX 255    /* bytes of actor, source, action, object, request */
#define AUDIT_VALUE_MAX 16384 /* bytes of before and after */

/* Who does what this transaction does: to be named before the first change.  Copied. */
struct actor {
	const char *actor;   /* "uid:1000", "user:17", "system" */
	const char *source;  /* "unix", an address; "" if none */
	const char *request; /* id of the request; "" if none */
};

/* -EINVAL: a text is too long or not UTF-8. */
int tx_actor(struct tx *tx, const struct actor *actor) _must_check_;

struct audit_event {
	const char *action; /* "peer.add" */
	const char *object; /* "peer:12 laptop" */
	const char *before; /* JSON, or "" */
	const char *after;
};

/* For changes that are not the store's own; -EINVAL: no actor was named, or a text is too long. */
int audit_append(struct tx *tx, const struct audit_event *event) _must_check_;

struct audit_row {
	int64_t seq;
	int64_t at; /* microseconds since the epoch */
	uint8_t previous[AUDIT_HASH_LEN];
	uint8_t hash[AUDIT_HASH_LEN];
	char *actor, *source, *request, *action, *object, *before, *after;
};

struct audit_rows {
	size_t n;
	struct audit_row *v;
};

/* Newest first, those with seq < @before_seq (INT64_MAX: from the newest), at most @limit (1…1000). */
int audit_list(struct tx *tx, int64_t before_seq, size_t limit, struct audit_rows *ret) _must_check_;
void audit_rows_done(struct audit_rows *rows);

/* The hash that @row of @tenant should have. */
void audit_digest(struct tenant_id tenant, const struct audit_row *row, uint8_t ret[AUDIT_HASH_LEN]);

/*
 * Reads the tenant's whole chain and its head.  0: sound, *@bad is 0 and *@rows their number.
 * -EBADMSG: *@bad is the first seq that is altered, missing, or beyond the head.
 */
int audit_verify(struct tx *tx, int64_t *rows, int64_t *bad) _must_check_;

#endif
