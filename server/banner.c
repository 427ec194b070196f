#include "server/banner.h"

#include <arpa/inet.h>
#include <pwd.h>
#include <string.h>

#include "server/children.h"

#define LABEL "  %-12s "
#define MORE  "               "

/* @words in lines that fit a terminal, each below the value of the label above. */
static void
words_print(FILE *out, const char *words)
{
	const size_t width = 80;

	while (*words) {
		size_t len = strlen(words);

		if (len > width)
			for (len = width; len && words[len] != ' '; len--)
				;
		if (!len) /* one long word */
			len = strcspn(words, " ");
		fprintf(out, MORE "%.*s\n", (int)len, words);
		words += len + (words[len] == ' ');
	}
}

static void
endpoint_print(FILE *out, const struct banner *b)
{
	fprintf(out, LABEL "%s\n", "endpoint", *b->reach->address ? b->reach->address : "none is known");
	words_print(out, b->reach->note);
}

static void
web_print(FILE *out, const struct banner *b)
{
	const struct endpoint *http = &b->config->http_listen;
	const struct passwd *user = getpwuid(geteuid());
	char text[ENDPOINT_TEXT_LEN], address[IP_TEXT_LEN], host[CONFIG_HOST_LEN];
	const char *colon;

	endpoint_text(text, http);
	ip_text(address, &http->ip);
	snprintf(host, sizeof(host), "%s", *b->reach->address ? b->reach->address : "HOST");
	colon = strrchr(host, ':');
	if (colon)
		host[colon - host] = '\0';
	fprintf(out, LABEL "%s%s/\n", "web", *b->config->public_origin ? "" : "http://",
		*b->config->public_origin ? b->config->public_origin : text);
	fprintf(out, MORE "from elsewhere: ssh -L %u:%s%s%s:%u %s%s%.*s\n", http->port,
		http->ip.family == AF_INET6 ? "[" : "", address, http->ip.family == AF_INET6 ? "]" : "",
		http->port,
		user && strcmp(user->pw_dir, CONFIG_SERVICE_HOME) != 0
			? user->pw_name
			: "", /* the service's user has no login */
		user && strcmp(user->pw_dir, CONFIG_SERVICE_HOME) != 0 ? "@" : "",
		(int)strlen(host) - (host[0] == '[' ? 2 : 0), host + (host[0] == '['));
}

static void
uplink_print(FILE *out, const struct banner *b)
{
	const char *name = b->config->uplink;

	if (strcmp(name, "pasta") != 0) {
		fprintf(out,
			LABEL "%s; the world sees each peer's own address.  As root, once per start:\n" MORE
			      "ip link set %s netns %d\n",
			"uplink", name, name, (int)b->inner);
		return;
	}
	fprintf(out, LABEL "pasta%s; the world, and Pi-hole too, sees this host's address for every peer\n",
		"uplink",
		b->uplink_up ? "" : " (NOT UP: see the log; it needs a default route on this host)");
}

/* `warren`, as it must be typed: with its path from a build tree, with the socket where it would not look. */
static void
first_peer_print(FILE *out, const struct banner *b)
{
	char dir[CONFIG_PATH_LEN], path[CONFIG_PATH_LEN + 16], usual[CONFIG_PATH_LEN + 16];

	snprintf(usual, sizeof(usual), "%s/admin.sock", b->runtime_dir);
	fprintf(out, LABEL, "first peer");
	if (strcmp(usual, b->config->admin_socket) != 0)
		fprintf(out, "WARREN_ADMIN_SOCKET=%s ", b->config->admin_socket);
	if (program_directory(dir, sizeof(dir)) == 0) {
		snprintf(path, sizeof(path), "%s/cli/warren", dir);
		if (access(path, X_OK) == 0) {
			fprintf(out, "%s peer add NAME --qr\n", path);
			return;
		}
	}
	fprintf(out, "warren peer add NAME --qr\n");
}

static void
at_boot_print(FILE *out, const struct banner *b)
{
	char dir[CONFIG_PATH_LEN], path[CONFIG_PATH_LEN + 32];

	if (b->managed)
		return;
	if (program_directory(dir, sizeof(dir)) == 0) {
		snprintf(path, sizeof(path), "%s/../../deploy/run", dir);
		if (access(path, X_OK) == 0) {
			fprintf(out,
				LABEL "deploy/run --unit writes a systemd unit and says how to enable it\n",
				"at boot");
			return;
		}
	}
	fprintf(out, LABEL "systemctl %senable warrend; see warrend(8)\n", "at boot",
		strcmp(b->runtime_dir, CONFIG_SERVICE_RUNTIME) == 0 ? "" : "--user ");
}

void
banner_print(FILE *out, const struct banner *b)
{
	fprintf(out, "\nWarren is ready.\n\n");
	endpoint_print(out, b);
	fprintf(out, LABEL "UDP port %u on this host's firewall\n", "open", b->config->listen_port);
	web_print(out, b);
	uplink_print(out, b);
	fprintf(out, LABEL "%s\n", "data", b->config->data_dir);
	first_peer_print(out, b);
	at_boot_print(out, b);
	if (!b->managed)
		fprintf(out, LABEL "Ctrl-C ends everything in order\n", "stop");
	fputc('\n', out);
	fflush(out);
}
