#include "server/proc/value.h"

#include <errno.h>
#include <string.h>

#include "base/ip.h"
#include "base/log.h"
#include "server/proc/config.h"

#define POOL_LEN_MIN 8
#define POOL_LEN_MAX 29
#define HOST_MAX     253
#define LABEL_MAX    63

/* Letters, digits and the characters of @more; at least one. */
static bool
made_of(const char *text, size_t len, const char *more)
{
	for (size_t i = 0; i < len; i++) {
		const char c = text[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
		    (!c || !strchr(more, c)))
			return false;
	}
	return len > 0;
}

static bool
has_control(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			return true;
	return false;
}

/* No blank at its end either: it would be lost where a line is read. */
static int
text_take(char *field, size_t size, const char *text)
{
	const size_t len = strlen(text);

	if (len >= size || has_control(text) || (len && text[len - 1] == ' '))
		return -EINVAL;
	memcpy(field, text, len + 1);
	return 0;
}

static void
text_print(const void *field, char *out, size_t len)
{
	snprintf(out, len, "%s", (const char *)field);
}

/* Absolute, so that it means the same to every process. */
static int
path_parse(void *field, const char *text)
{
	return text[0] == '/' ? text_take(field, CONFIG_PATH_LEN, text) : -EINVAL;
}

static int
socket_path_parse(void *field, const char *text)
{
	const size_t len = strlen(text);

	return text[0] == '/' && text[len - 1] != '/' ? text_take(field, CONFIG_SOCKET_LEN, text) : -EINVAL;
}

static int
secret_parse(void *field, const char *text)
{
	return text_take(field, CONFIG_URL_LEN, text);
}

/* Decimal digits alone, 1 to 65535: of a port, or of as many. */
static int
number_of(const char *text, uint16_t *ret)
{
	uint32_t port = 0;
	size_t i;

	for (i = 0; text[i] >= '0' && text[i] <= '9' && i < 5; i++)
		port = port * 10 + (uint32_t)(text[i] - '0');
	if (i == 0 || text[i] || text[0] == '0' || port > UINT16_MAX)
		return -EINVAL;
	*ret = (uint16_t)port;
	return 0;
}

static int
port_parse(void *field, const char *text)
{
	return number_of(text, field);
}

static void
port_print(const void *field, char *out, size_t len)
{
	snprintf(out, len, "%u", *(const uint16_t *)field);
}

/* A host name: labels of letters, digits and hyphens. */
static bool
host_is(const char *text, size_t len)
{
	size_t label = 0;

	if (!len || len > HOST_MAX || !made_of(text, len, "-."))
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '.') {
			if (!label || text[i - 1] == '-')
				return false;
			label = 0;
		} else if ((!label && text[i] == '-') || ++label > LABEL_MAX) {
			return false;
		}
	}
	return label && text[len - 1] != '-';
}

/* The last label of digits makes it an address, which then must be one (RFC 3696). */
static bool
ends_in_number(const char *host, size_t len)
{
	size_t i = len;

	while (i && host[i - 1] >= '0' && host[i - 1] <= '9')
		i--;
	return i < len && (i == 0 || host[i - 1] == '.');
}

static int
host_port_check(const char *text)
{
	const char *colon = strrchr(text, ':');
	struct endpoint endpoint;
	uint16_t port;

	if (endpoint_parse(&endpoint, text) == 0)
		return 0;
	if (!colon || number_of(colon + 1, &port) < 0 || !host_is(text, (size_t)(colon - text)) ||
	    ends_in_number(text, (size_t)(colon - text)))
		return -EINVAL;
	return 0;
}

static int
host_port_parse(void *field, const char *text)
{
	return host_port_check(text) < 0 ? -EINVAL : text_take(field, CONFIG_HOST_LEN, text);
}

/* scheme://host[:port] and nothing behind. */
static int
origin_parse(void *field, const char *text)
{
	const bool tls = strncmp(text, "https://", 8) == 0;
	const char *host = text + (tls ? 8 : 7);
	char with_port[CONFIG_HOST_LEN + 8];

	if (!tls && strncmp(text, "http://", 7) != 0)
		return -EINVAL;
	snprintf(with_port, sizeof(with_port), "%s:1", host);
	if (strlen(host) >= CONFIG_HOST_LEN || (host_port_check(host) < 0 && host_port_check(with_port) < 0))
		return -EINVAL;
	return text_take(field, CONFIG_HOST_LEN, text);
}

static int
pool_parse(void *field, const char *text)
{
	struct cidr cidr, masked;

	if (cidr_parse(&cidr, text) < 0 || cidr.ip.family != AF_INET || cidr.len < POOL_LEN_MIN ||
	    cidr.len > POOL_LEN_MAX)
		return -EINVAL;
	masked = cidr;
	cidr_mask(&masked);
	if (!ip_equal(&masked.ip, &cidr.ip))
		return -EINVAL;
	*(struct cidr *)field = cidr;
	return 0;
}

static void
cidr_print(const void *field, char *out, size_t len)
{
	char text[CIDR_TEXT_LEN];

	cidr_text(text, field);
	snprintf(out, len, "%s", text);
}

/* As the kernel takes names of interfaces, and nothing that a shell or a rule set could misread. */
static int
uplink_parse(void *field, const char *text)
{
	const size_t len = strlen(text);

	if (len >= IFNAMSIZ || !made_of(text, len, "-_.@") || strcmp(text, ".") == 0 ||
	    strcmp(text, "..") == 0)
		return -EINVAL;
	return text_take(field, IFNAMSIZ, text);
}

/* Calls @each with every piece between commas; its index counts from 0. */
static int
list_parse(const char *text, int (*each)(void *list, size_t i, const char *piece), void *list)
{
	for (size_t i = 0; i < CONFIG_LIST_MAX; i++) {
		const size_t len = strcspn(text, ",");
		char piece[CIDR_TEXT_LEN];

		if (!len || len >= sizeof(piece))
			return -EINVAL;
		memcpy(piece, text, len);
		piece[len] = '\0';
		if (each(list, i, piece) < 0)
			return -EINVAL;
		if (!text[len])
			return 0;
		text += len + 1;
	}
	return -EINVAL;
}

static int
cidr_each(void *list, size_t i, const char *piece)
{
	struct cidr_list *cidrs = list;

	cidrs->n = i + 1;
	return cidr_parse(&cidrs->v[i], piece);
}

static int
cidrs_parse(void *field, const char *text)
{
	return list_parse(text, cidr_each, field);
}

static void
cidrs_print(const void *field, char *out, size_t len)
{
	const struct cidr_list *cidrs = field;
	size_t used = 0;

	out[0] = '\0';
	for (size_t i = 0; i < cidrs->n; i++) {
		char text[CIDR_TEXT_LEN];

		cidr_text(text, &cidrs->v[i]);
		used += (size_t)snprintf(out + used, len - used, "%s%s", i ? "," : "", text);
	}
}

static int
ip_each(void *list, size_t i, const char *piece)
{
	struct ip_list *ips = list;

	ips->n = i + 1;
	return ip_parse(&ips->v[i], piece);
}

static int
ips_parse(void *field, const char *text)
{
	return list_parse(text, ip_each, field);
}

static void
ips_print(const void *field, char *out, size_t len)
{
	const struct ip_list *ips = field;
	size_t used = 0;

	out[0] = '\0';
	for (size_t i = 0; i < ips->n; i++) {
		char text[IP_TEXT_LEN];

		ip_text(text, &ips->v[i]);
		used += (size_t)snprintf(out + used, len - used, "%s%s", i ? "," : "", text);
	}
}

static int
listen_parse(void *field, const char *text)
{
	return endpoint_parse(field, text);
}

static void
listen_print(const void *field, char *out, size_t len)
{
	const struct endpoint *endpoint = field;
	char text[ENDPOINT_TEXT_LEN] = "";

	if (endpoint->ip.family)
		endpoint_text(text, endpoint);
	snprintf(out, len, "%s", text);
}

static int
workers_parse(void *field, const char *text)
{
	uint16_t n;

	if (number_of(text, &n) < 0 || n > CONFIG_WORKERS_MAX)
		return -EINVAL;
	*(uint16_t *)field = n;
	return 0;
}

static void
workers_print(const void *field, char *out, size_t len)
{
	const uint16_t n = *(const uint16_t *)field;

	out[0] = '\0';
	if (n)
		snprintf(out, len, "%u", n);
}

static const char *const levels[] = {[LOG_LEVEL_SILENT] = "silent",
				     [LOG_LEVEL_ERROR] = "error",
				     [LOG_LEVEL_INFO] = "info",
				     [LOG_LEVEL_DEBUG] = "debug"};

static int
level_parse(void *field, const char *text)
{
	for (size_t i = 0; i < ARRAY_LEN(levels); i++)
		if (strcmp(text, levels[i]) == 0) {
			*(enum log_level *)field = (enum log_level)i;
			return 0;
		}
	return -EINVAL;
}

static void
level_print(const void *field, char *out, size_t len)
{
	snprintf(out, len, "%s", levels[*(const enum log_level *)field]);
}

const struct value_kind value_PATH = {path_parse, text_print, false,
				      "an absolute path of at most 1023 bytes, no blank at its end"};
const struct value_kind value_SOCKET_PATH = {socket_path_parse, text_print, false,
					     "an absolute path of at most 107 bytes"};
const struct value_kind value_SECRET = {
	secret_parse, text_print, true,
	"postgresql://USER:PASSWORD@HOST/DATABASE, at most 4095 bytes, no control characters"};
const struct value_kind value_PORT = {port_parse, port_print, false, "a port, 1 to 65535"};
const struct value_kind value_HOST_PORT = {
	host_port_parse, text_print, false,
	"HOST:PORT, such as vpn.example.org:51820, 192.0.2.1:51820 or [2001:db8::1]:51820"};
const struct value_kind value_POOL = {
	pool_parse, cidr_print, false,
	"an IPv4 prefix of /8 to /29 whose host bits are zero, such as 10.82.0.0/16"};
const struct value_kind value_UPLINK = {
	uplink_parse, text_print, false,
	"pasta, or an interface's name of at most 15 letters, digits and -_.@"};
const struct value_kind value_CIDRS = {
	cidrs_parse, cidrs_print, false,
	"at most 4 of ADDRESS/LENGTH, with commas between, such as 192.0.2.2/24,2001:db8::2/64"};
const struct value_kind value_IPS = {
	ips_parse, ips_print, false,
	"at most 4 addresses, with commas between, such as 192.0.2.1,2001:db8::1"};
const struct value_kind value_LISTEN = {listen_parse, listen_print, false,
					"ADDRESS:PORT, such as 127.0.0.1:51821 or [::1]:51821"};
const struct value_kind value_ORIGIN = {origin_parse, text_print, false,
					"https://HOST or https://HOST:PORT (or http://), nothing behind it"};
const struct value_kind value_WORKERS = {workers_parse, workers_print, false, "a number, 1 to 16"};
const struct value_kind value_LEVEL = {level_parse, level_print, false, "silent, error, info, debug"};
