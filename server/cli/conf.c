#include "server/cli/conf.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "base/bytes.h"
#include "base/errors.h"
#include "base/ip.h"

#define HOST_MAX 253

struct text {
	char *out;
	size_t n;
	char *error;
};

static void _printf_(2, 3) put(struct text *text, const char *format, ...)
{
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(text->out + text->n, CONF_TEXT_LEN - text->n, format, ap);
	va_end(ap);
	/* Too long stays too long: conf_compose() looks at the end. */
	text->n = n < 0 ? CONF_TEXT_LEN - 1 : MIN(text->n + (size_t)n, CONF_TEXT_LEN - 1);
}

static int _printf_(2, 3) fail(struct text *text, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(text->error, CONF_ERROR_LEN, format, ap);
	va_end(ap);
	return -ERR_INVALID;
}

/* What wg(8) resolves: a name of letters, digits, dots and hyphens. */
static bool
is_host(const char *text, size_t len)
{
	if (len == 0 || len > HOST_MAX || text[0] == '-' || text[0] == '.')
		return false;
	for (size_t i = 0; i < len; i++)
		if (!isascii(text[i]) ||
		    (!isalnum((unsigned char)text[i]) && text[i] != '.' && text[i] != '-'))
			return false;
	return true;
}

static bool
is_host_port(const char *text)
{
	const char *colon = strrchr(text, ':');
	struct endpoint endpoint;
	long port = 0;

	if (endpoint_parse(&endpoint, text) == 0)
		return true;
	if (!colon || !is_host(text, (size_t)(colon - text)) || !colon[1] || strlen(colon + 1) > 5)
		return false;
	for (const char *at = colon + 1; *at; at++) {
		if (!isdigit((unsigned char)*at))
			return false;
		port = port * 10 + (*at - '0');
	}
	return port > 0 && port <= 65535;
}

/* Each into its one spelling, so that only what was understood is written. */
static bool
cidr_put(char out[CIDR_TEXT_LEN], const char *text)
{
	struct cidr cidr;

	if (cidr_parse(&cidr, text) < 0)
		return false;
	cidr_text(out, &cidr);
	return true;
}

static int
cidrs_put(struct text *text, const char *name, const json_t *list)
{
	size_t i;
	json_t *item;

	if (json_array_size(list) == 0)
		return fail(text, "it gave no %s", name);
	put(text, "%s = ", name);
	json_array_foreach(list, i, item)
	{
		char one[CIDR_TEXT_LEN];

		if (!json_is_string(item) || !cidr_put(one, json_string_value(item)))
			return fail(text, "what it gave as %s is not a prefix", name);
		put(text, "%s%s", i ? ", " : "", one);
	}
	put(text, "\n");
	return 0;
}

/* Resolvers by address; wg-quick takes a name among them for a search domain. */
static int
dns_put(struct text *text, const json_t *list)
{
	size_t i;
	json_t *item;

	if (json_array_size(list) == 0)
		return 0;
	put(text, "DNS = ");
	json_array_foreach(list, i, item)
	{
		const char *one = json_string_value(item);
		struct ip ip;

		if (!one || (ip_parse(&ip, one) < 0 && !is_host(one, strlen(one))))
			return fail(text, "what it gave as DNS is neither an address nor a name");
		put(text, "%s%s", i ? ", " : "", one);
	}
	put(text, "\n");
	return 0;
}

static int
interface_put(struct text *text, const struct private_key *key, const json_t *peer, const json_t *config)
{
	const json_t *mtu = json_object_get(config, "mtu");
	char base64[KEY_BASE64_LEN];
	int r;

	key_to_base64(base64, key->b);
	put(text, "[Interface]\nPrivateKey = %s\n", base64);
	bytes_wipe(base64, sizeof(base64));
	r = cidrs_put(text, "Address", json_object_get(peer, "addresses"));
	if (r == 0)
		r = dns_put(text, json_object_get(config, "dns"));
	if (r < 0)
		return r;
	if (!json_is_integer(mtu) || json_integer_value(mtu) < 576 || json_integer_value(mtu) > 65535)
		return fail(text, "what it gave as MTU is not a number from 576 to 65535");
	if (json_integer_value(mtu) != CONF_MTU_DEFAULT)
		put(text, "MTU = %d\n", (int)json_integer_value(mtu));
	return 0;
}

static int
gateway_put(struct text *text, const json_t *config)
{
	const char *key = json_string_value(json_object_get(config, "gateway_public_key"));
	const json_t *keepalive = json_object_get(config, "persistent_keepalive");
	const json_t *endpoint = json_object_get(config, "endpoint");
	uint8_t bytes[KEY_LEN];
	int r;

	if (!key)
		return fail(text, "its own public key is not known yet (its tunnel has never answered)");
	if (key_from_base64(bytes, key) < 0)
		return fail(text, "what it gave as its public key is not a key");
	put(text, "\n[Peer]\nPublicKey = %s\n", key);
	r = cidrs_put(text, "AllowedIPs", json_object_get(config, "allowed_ips"));
	if (r < 0)
		return r;
	if (json_is_string(endpoint)) {
		if (!is_host_port(json_string_value(endpoint)))
			return fail(text, "what it gave as endpoint is not host:port");
		put(text, "Endpoint = %s\n", json_string_value(endpoint));
	} else if (!json_is_null(endpoint)) {
		return fail(text, "it gave no endpoint");
	}
	if (!json_is_integer(keepalive) || json_integer_value(keepalive) < 0 ||
	    json_integer_value(keepalive) > 65535)
		return fail(text, "what it gave as keepalive is not a number from 0 to 65535");
	if (json_integer_value(keepalive) > 0)
		put(text, "PersistentKeepalive = %d\n", (int)json_integer_value(keepalive));
	return 0;
}

int
conf_compose(char *out, const struct private_key *key, const json_t *peer, char error[CONF_ERROR_LEN])
{
	const json_t *config = json_object_get(peer, "config");
	struct text text = {out, 0, error};
	int r;

	error[0] = '\0';
	r = interface_put(&text, key, peer, config);
	if (r == 0)
		r = gateway_put(&text, config);
	if (r == 0 && text.n >= CONF_TEXT_LEN - 1)
		r = fail(&text, "it is longer than %d bytes", CONF_TEXT_LEN);
	if (r < 0) {
		bytes_wipe(out, CONF_TEXT_LEN);
		return r;
	}
	return (int)text.n;
}
