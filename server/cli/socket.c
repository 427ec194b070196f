/* Where the gateway listens. */
#include "server/cli/client.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/errors.h"
#include "base/text.h"
#include "server/proc/config.h"

_Static_assert(CLIENT_SOCKET_LEN >= CONFIG_SOCKET_LEN, "a socket's path fits");
_Static_assert(CLIENT_ERROR_LEN >= CONFIG_ERROR_LEN, "an error fits");

/* What of the environment decides the place of the socket; the rest of it is not ours to judge. */
static const char *const deciding[] = {CLIENT_SOCKET_ENV, "WARREN_DATA_DIR", "XDG_RUNTIME_DIR",
				       "XDG_DATA_HOME", "HOME"};

static bool
is_named(const char *line, const char *name)
{
	const size_t len = strlen(name);

	return strncmp(line, name, len) == 0 && line[len] == '=' && line[len + 1];
}

int
client_socket(char out[CLIENT_SOCKET_LEN], char *const env[], char error[CLIENT_ERROR_LEN])
{
	static const char service[] = CONFIG_SERVICE_RUNTIME "/admin.sock";
	_cleanup_(config_done) struct config config;
	char *few[ARRAY_LEN(deciding) + 1] = {NULL};
	bool given = false, hidden = false;
	size_t n = 0;
	struct stat st;
	int r;

	for (size_t d = 0; d < ARRAY_LEN(deciding); d++)
		for (size_t i = 0; env[i]; i++)
			if (is_named(env[i], deciding[d])) {
				few[n++] = env[i];
				given = given || d == 0;
				break;
			}
	error[0] = '\0';
	config_init(&config);
	if (!given && stat(service, &st) == 0) {
		text_copy(out, CONFIG_SOCKET_LEN, service);
		return 0;
	}
	hidden = !given && errno == EACCES;
	r = config_load(&config, few, NULL, error);
	if (r < 0)
		return r;
	/* Who may not look into the service's folder and has no gateway of his own hears why. */
	snprintf(out, CLIENT_SOCKET_LEN, "%s",
		 hidden && stat(config.admin_socket, &st) < 0 ? service : config.admin_socket);
	return 0;
}
