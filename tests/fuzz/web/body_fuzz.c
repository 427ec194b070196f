/* A body of the API: what is taken is within bounds, and means what it says. */
#include "web/request.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void
read_all(const json_t *object)
{
	struct peer_change change;
	struct public_key key;
	struct body_add add;
	struct problem p;
	time_t end;

	if (body_add_read(object, &add, &p) == 0)
		assert(peer_name_is_valid(add.name) && add.n_routes <= PEER_ROUTES_MAX &&
		       add.expires_at >= 0);
	if (body_change_read(object, &change, &p) == 0)
		assert(change.has_expiry || change.has_disabled);
	if (body_renew_read(object, &end, &p) == 0)
		assert(end >= 0 && json_object_get(object, "expires_at"));
	if (body_rekey_read(object, &key, &p) == 0)
		assert(json_object_size(object) == 1);
	if (body_empty_read(object, &p) == 0)
		assert(json_object_size(object) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *text = malloc(len + 1);
	const struct request request = {.body = text, .body_len = len};
	struct problem p;
	json_t *object;

	memcpy(text, data, len);
	text[len] = '\0';
	if (body_object(&request, false, &object, &p) == 0) {
		assert(json_is_object(object));
		read_all(object);
		json_decref(object);
	} else {
		assert(p.error < 0);
	}
	free(text);
	return 0;
}
