#include "web/request.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/errors.h"
#include "base/text.h"

/* Target */

static bool
is_plain(const char *text, size_t len)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";

	return strspn(text, plain) >= len;
}

static int
query_add(struct request *request, const char *text, size_t len, struct problem *p)
{
	const char *equals = memchr(text, '=', len);
	struct parameter *parameter = &request->query[request->n_query];
	size_t name_len, value_len;

	if (!equals || request->n_query == QUERY_MAX)
		return problem(p, -ERR_INVALID, NULL, "The query is not of the form name=value&….");
	name_len = (size_t)(equals - text);
	value_len = len - name_len - 1;
	if (name_len == 0 || name_len >= sizeof(parameter->name) || !is_plain(text, name_len))
		return problem(p, -ERR_INVALID, NULL, "There is no such query parameter.");
	*parameter = (struct parameter){0};
	memcpy(parameter->name, text, name_len);
	if (value_len >= sizeof(parameter->value) || !is_plain(equals + 1, value_len))
		return problem(p, -ERR_INVALID, parameter->name,
			       "Its value is too long or has characters that nothing here takes.");
	memcpy(parameter->value, equals + 1, value_len);
	for (size_t i = 0; i < request->n_query; i++)
		if (strcmp(request->query[i].name, parameter->name) == 0)
			return problem(p, -ERR_INVALID, parameter->name, "It comes twice.");
	request->n_query++;
	return 0;
}

int
request_target(struct request *request, const char *target, struct problem *p)
{
	const char *question = strchr(target, '?');
	const size_t path_len = question ? (size_t)(question - target) : strlen(target);

	request->n_query = 0;
	if (path_len >= sizeof(request->path))
		return problem(p, -ERR_INVALID, NULL, "The path is too long.");
	memcpy(request->path, target, path_len);
	request->path[path_len] = '\0';
	for (const char *at = question ? question + 1 : NULL; at;) {
		const char *end = strchrnul(at, '&');
		int r;

		if (end == at && !*end && at == question + 1)
			break; /* a bare '?' */
		r = query_add(request, at, (size_t)(end - at), p);
		if (r < 0)
			return r;
		at = *end ? end + 1 : NULL;
	}
	return 0;
}

const char *
query_text(struct request *request, const char *name)
{
	for (size_t i = 0; i < request->n_query; i++)
		if (strcmp(request->query[i].name, name) == 0) {
			request->query[i].taken = true;
			return request->query[i].value;
		}
	return NULL;
}

int
query_number(struct request *request, const char *name, int64_t min, int64_t max, int64_t otherwise,
	     int64_t *ret, struct problem *p)
{
	const char *text = query_text(request, name);
	int64_t v;

	*ret = otherwise;
	if (!text)
		return 0;
	v = *text && strspn(text, "0123456789") == strlen(text) && strlen(text) < 19 ? strtoll(text, NULL, 10)
										     : -1;
	if (v < min || v > max)
		return problem(p, -ERR_INVALID, name, "It must be a number from %lld to %lld.",
			       (long long)min, (long long)max);
	*ret = v;
	return 0;
}

int
query_end(const struct request *request, struct problem *p)
{
	for (size_t i = 0; i < request->n_query; i++)
		if (!request->query[i].taken)
			return problem(p, -ERR_INVALID, request->query[i].name,
				       "There is no such query parameter here.");
	return 0;
}

/* Body */

/* The library parses by recursion; nothing of ours is nested deeper than a list in an object. */
static bool
is_too_deep(const char *text, size_t len)
{
	bool quoted = false;
	size_t depth = 0;

	for (size_t i = 0; i < len; i++) {
		if (quoted && text[i] == '\\')
			i++;
		else if (text[i] == '"')
			quoted = !quoted;
		else if (!quoted && (text[i] == '[' || text[i] == '{') && ++depth > BODY_DEPTH_MAX)
			return true;
		else if (!quoted && (text[i] == ']' || text[i] == '}') && depth)
			depth--;
	}
	return false;
}

int
body_object(const struct request *request, bool optional, json_t **ret, struct problem *p)
{
	json_error_t error;
	json_t *root;

	if (request->body_len == 0 && optional) {
		*ret = json_object();
		return *ret ? 0 : problem(p, -ENOMEM, NULL, "There is no memory left.");
	}
	if (is_too_deep(request->body, request->body_len))
		return problem(p, -ERR_INVALID, NULL, "The body is nested too deeply.");
	root = json_loadb(request->body, request->body_len, JSON_REJECT_DUPLICATES, &error);
	if (!root)
		return problem(p, -ERR_INVALID, NULL,
			       "The body is not JSON as it should be: %.100s (line %d).", error.text,
			       error.line);
	if (!json_is_object(root)) {
		json_decref(root);
		return problem(p, -ERR_INVALID, NULL, "The body is not a JSON object.");
	}
	*ret = root;
	return 0;
}

/* Nothing but @names, a list that ends with NULL. */
static int
only(const json_t *object, const char *const *names, struct problem *p)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)object, key, value)
	{
		const char *const *name = names;

		while (*name && strcmp(*name, key) != 0)
			name++;
		if (!*name)
			return problem(p, -ERR_INVALID, NULL,
				       "The body has a member \"%.40s\", which is not known here.", key);
	}
	return 0;
}

static int
text_member(const json_t *object, const char *name, const char **ret, struct problem *p)
{
	const json_t *value = json_object_get(object, name);

	if (!json_is_string(value) || strlen(json_string_value(value)) != json_string_length(value))
		return problem(p, -ERR_INVALID, name, value ? "It must be text." : "It is missing.");
	*ret = json_string_value(value);
	return 0;
}

static int
key_member(const json_t *object, struct public_key *ret, struct problem *p)
{
	const char *text = NULL;
	int r;

	r = text_member(object, "public_key", &text, p);
	if (r == 0 && (!text || key_from_base64(ret->b, text) < 0))
		r = problem(p, -ERR_INVALID, "public_key",
			    "It must be the base64 of 32 bytes, as `wg pubkey` prints it.");
	return r;
}

int
time_parse(time_t *ret, const char *text)
{
	static const char form[] = "dddd-dd-ddTdd:dd:ddZ";
	char back[CLOCK_TEXT_LEN];
	struct tm tm = {0};
	time_t t;

	if (strlen(text) != sizeof(form) - 1)
		return -EINVAL;
	for (size_t i = 0; form[i]; i++)
		if (form[i] == 'd' ? text[i] < '0' || text[i] > '9' : text[i] != form[i])
			return -EINVAL;
	if (!strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm))
		return -EINVAL;
	t = timegm(&tm);
	clock_text(back, t);
	if (t < 0 || strcmp(back, text) != 0) /* the 31st of February comes back as another day */
		return -EINVAL;
	*ret = t;
	return 0;
}

/* null is no end; 0 is it inside. */
static int
end_member(const json_t *object, time_t *ret, struct problem *p)
{
	const json_t *value = json_object_get(object, "expires_at");
	const char *text = NULL;
	int r;

	*ret = 0;
	if (json_is_null(value))
		return 0;
	r = text_member(object, "expires_at", &text, p);
	if (r == 0 && (!text || time_parse(ret, text) < 0 || *ret == 0))
		r = problem(p, -ERR_INVALID, "expires_at",
			    "It must be a time like 2027-01-31T18:00:00Z, or null.");
	return r;
}

static int
routes_member(const json_t *object, struct body_add *ret, struct problem *p)
{
	const json_t *array = json_object_get(object, "routes");
	const json_t *value;
	size_t i;

	ret->n_routes = 0;
	if (!array || json_is_null(array))
		return 0;
	if (!json_is_array(array) || json_array_size(array) > PEER_ROUTES_MAX)
		return problem(p, -ERR_INVALID, "routes", "It must be a list of at most %d networks.",
			       PEER_ROUTES_MAX);
	json_array_foreach(array, i, value)
	{
		const char *text = json_string_value(value);
		char field[32];

		snprintf(field, sizeof(field), "routes[%zu]", i);
		if (!text || !strchr(text, '/') || cidr_parse(&ret->routes[i], text) < 0)
			return problem(p, -ERR_INVALID, field,
				       "It must be a network like 192.168.7.0/24 or fd00:1::/64.");
		ret->n_routes++;
	}
	return 0;
}

int
body_add_read(const json_t *object, struct body_add *ret, struct problem *p)
{
	static const char *const names[] = {"name", "public_key", "expires_at", "routes", NULL};
	const char *name = NULL;
	int r;

	r = only(object, names, p);
	if (r == 0)
		r = text_member(object, "name", &name, p);
	if (r == 0 && (!name || !peer_name_is_valid(name)))
		r = problem(p, -ERR_INVALID, "name",
			    "A name is 1 to 63 of A-Z a-z 0-9 . _ - with a letter or digit first, and not "
			    "digits alone.");
	if (r == 0)
		r = key_member(object, &ret->key, p);
	if (r == 0 && json_object_get(object, "expires_at"))
		r = end_member(object, &ret->expires_at, p);
	else
		ret->expires_at = 0;
	if (r == 0)
		r = routes_member(object, ret, p);
	if (r == 0 && name)
		text_copy(ret->name, sizeof(ret->name), name);
	return r;
}

int
body_change_read(const json_t *object, struct peer_change *ret, struct problem *p)
{
	static const char *const names[] = {"expires_at", "disabled", NULL};
	const json_t *disabled = json_object_get(object, "disabled");
	int r;

	*ret = (struct peer_change){.has_expiry = json_object_get(object, "expires_at") != NULL,
				    .has_disabled = disabled != NULL};
	r = only(object, names, p);
	if (r == 0 && json_object_size(object) == 0)
		r = problem(p, -ERR_INVALID, NULL, "The body names nothing to change.");
	if (r == 0 && ret->has_expiry)
		r = end_member(object, &ret->expires_at, p);
	if (r == 0 && disabled && !json_is_boolean(disabled))
		r = problem(p, -ERR_INVALID, "disabled", "It must be true or false.");
	ret->disabled = json_is_true(disabled);
	return r;
}

int
body_renew_read(const json_t *object, time_t *ret, struct problem *p)
{
	static const char *const names[] = {"expires_at", NULL};
	int r;

	r = only(object, names, p);
	return r < 0 ? r : end_member(object, ret, p);
}

int
body_rekey_read(const json_t *object, struct public_key *ret, struct problem *p)
{
	static const char *const names[] = {"public_key", NULL};
	int r;

	r = only(object, names, p);
	return r < 0 ? r : key_member(object, ret, p);
}

int
body_tenant_read(const json_t *object, struct tenant_change *ret, struct problem *p)
{
	static const char *const names[] = {"peers_may_meet", "rest_seconds", NULL};
	const json_t *meet = json_object_get(object, "peers_may_meet");
	const json_t *rest = json_object_get(object, "rest_seconds");
	const json_int_t seconds = json_integer_value(rest);
	int r;

	*ret = (struct tenant_change){.has_meet = meet != NULL,
				      .meet = json_is_true(meet),
				      .has_rest = rest != NULL,
				      .rest_seconds = seconds};
	r = only(object, names, p);
	if (r == 0 && json_object_size(object) == 0)
		r = problem(p, -ERR_INVALID, NULL, "The body names nothing to change.");
	if (r == 0 && meet && !json_is_boolean(meet))
		r = problem(p, -ERR_INVALID, "peers_may_meet", "It must be true or false.");
	if (r == 0 && rest && (!json_is_integer(rest) || seconds < 0 || seconds > TENANT_REST_MAX))
		r = problem(p, -ERR_INVALID, "rest_seconds", "It must be a number of seconds from 0 to %lld.",
			    (long long)TENANT_REST_MAX);
	return r;
}

int
body_empty_read(const json_t *object, struct problem *p)
{
	static const char *const names[] = {NULL};

	return only(object, names, p);
}
