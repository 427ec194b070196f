#include <errno.h>
#include <inttypes.h>

#include "base/errors.h"
#include "server/store/tenant.h"
#include "server/store/text.h"
#include "server/store/tx.h"

static int
user_read(const PGresult *result, struct user *ret)
{
	struct row row = {.result = result};
	struct user user = {0};

	user.id.v = row_int(&row);
	row_text(&row, user.name, sizeof(user.name));
	user.created_at = row_int(&row);
	user.disabled_at = row_int(&row);
	if (row.r == 0)
		*ret = user;
	return row.r;
}

static int
user_one(struct tx *tx, enum query query, const struct params *params, struct user *ret)
{
	_cleanup_(result_clearp) PGresult *result = NULL;
	int r;

	r = tx_query(tx, query, params, &result);
	if (r < 0)
		return r;
	return r == 0 ? -ERR_NOT_FOUND : user_read(result, ret);
}

int
user_ensure(struct tx *tx, const char *name, struct user *ret)
{
	char object[AUDIT_TEXT_MAX + 1];
	struct params params;
	struct user user = {0};
	int r;

	if (!text_is_name(name, USER_NAME_MAX))
		return -EINVAL;
	tx_params(tx, &params);
	params_text(&params, name);
	r = user_one(tx, QUERY_USER_FIND, &params, ret);
	if (r != -ERR_NOT_FOUND)
		return r;
	r = audit_ready(tx);
	if (r < 0)
		return r;
	r = user_one(tx, QUERY_USER_INSERT, &params, &user);
	if (r == -ERR_NOT_FOUND) /* another transaction was faster, and is through */
		return user_one(tx, QUERY_USER_FIND, &params, ret);
	if (r < 0)
		return r;
	/* The number says who it is; a name that long is cut. */
	snprintf(object, sizeof(object), "user:%" PRId64, user.id.v);
	r = audit_append(tx, &(struct audit_event){"user.add", object, "", ""});
	if (r < 0)
		return r;
	*ret = user;
	return 0;
}

int
user_get(struct tx *tx, struct user_id id, struct user *ret)
{
	struct params params;

	tx_params(tx, &params);
	params_int(&params, id.v);
	return user_one(tx, QUERY_USER_GET, &params, ret);
}
