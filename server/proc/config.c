#include "server/proc/config.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/errors.h"
#include "server/proc/value.h"

#define CONFIG_FILE_MAX (64 * 1024)

struct option {
	const char *name, *preset, *words;
	size_t offset;
	const struct value_kind *kind;
};

static const struct option options[CONFIG_COUNT] = {
#define X(field, kind, name, preset, words)                                                                  \
	[CONFIG_##field] = {name, preset, words, offsetof(struct config, field), &value_##kind},
	CONFIG_OPTIONS(X)
#undef X
};

static int fail(char error[CONFIG_ERROR_LEN], const char *format, ...) _printf_(2, 3);

static int
fail(char error[CONFIG_ERROR_LEN], const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(error, CONFIG_ERROR_LEN, format, ap);
	va_end(ap);
	return -ERR_CONFIG;
}

/* An empty value is one not given: the default holds. */
static int
option_set(struct config *config, const struct option *option, const char *value, const char *where,
	   char error[CONFIG_ERROR_LEN])
{
	const struct value_kind *kind = option->kind;

	if (!*value || kind->parse((char *)config + option->offset, value) == 0)
		return 0;
	if (kind->secret)
		return fail(error, "%s%s: its value is not valid; allowed: %s", where, option->name,
			    kind->allowed);
	return fail(error, "%s%s: \"%.300s\" is not valid; allowed: %s", where, option->name, value,
		    kind->allowed);
}

static void
text_wipe(char **text)
{
	if (*text)
		bytes_wipe(*text, strlen(*text));
	free(*text);
}

/* The whole of a file of at most @max bytes, as a string.  -EINVAL: it has a NUL.  -EFBIG. */
static int
file_read(const char *path, size_t max, char **ret)
{
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	_cleanup_(text_wipe) char *text = NULL;
	size_t len = 0;

	if (fd < 0)
		return -errno;
	text = calloc(1, max + 2);
	if (!text)
		return -ENOMEM;
	while (len <= max) {
		const ssize_t n = read(fd, text + len, max + 1 - len);

		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	if (len > max)
		return -EFBIG;
	if (strlen(text) != len) {
		bytes_wipe(text, len);
		return -EINVAL;
	}
	*ret = take_ptr(text);
	return 0;
}

static int
secret_from_file(struct config *config, const struct option *option, const char *path, const char *where,
		 char error[CONFIG_ERROR_LEN])
{
	_cleanup_(text_wipe) char *text = NULL;
	int r;

	if (!*path)
		return 0;
	r = file_read(path, CONFIG_URL_LEN, &text);
	if (r < 0)
		return fail(error,
			    "%s%s_FILE: %.300s: %s; allowed: a file that can be read, of at most %d bytes",
			    where, option->name, path, error_words(r), CONFIG_URL_LEN);
	text[strcspn(text, "\r\n")] = '\0';
	if (!*text)
		return fail(error,
			    "%s%s_FILE: %.300s is empty; allowed: a file whose first line is the value",
			    where, option->name, path);
	return option_set(config, option, text, where, error);
}

/* Which option @name is; @file: by the name of a secret's file.  NULL: none. */
static const struct option *
option_find(const char *name, size_t len, bool *file)
{
	for (size_t i = 0; i < CONFIG_COUNT; i++) {
		const struct option *option = &options[i];
		const size_t n = strlen(option->name);

		*file = option->kind->secret && len == n + 5 && strncmp(name + n, "_FILE", 5) == 0;
		if ((len == n || *file) && strncmp(name, option->name, n) == 0)
			return option;
	}
	return NULL;
}

/* One "NAME=value"; @seen has a bit for each option that this source gave already. */
static int
line_take(struct config *config, char *line, const char *where, uint32_t *seen, char error[CONFIG_ERROR_LEN])
{
	char *equals = strchr(line, '=');
	const struct option *option;
	bool file;
	size_t i;

	if (!equals)
		return fail(error, "%snot NAME=value; `warrend --help` lists the names", where);
	option = option_find(line, (size_t)(equals - line), &file);
	if (!option)
		return fail(error, "%s%.*s: no such option; `warrend --help` lists them", where,
			    (int)MIN(equals - line, 100), line);
	i = (size_t)(option - options);
	if (*seen & BIT(i))
		return fail(error, "%s%s: given twice; allowed: once%s", where, option->name,
			    option->kind->secret ? ", itself or as _FILE" : "");
	*seen |= BIT(i);
	return file ? secret_from_file(config, option, equals + 1, where, error)
		    : option_set(config, option, equals + 1, where, error);
}

static char *
trim(char *s)
{
	size_t len;

	s += strspn(s, " \t\r");
	len = strlen(s);
	while (len && strchr(" \t\r", s[len - 1]))
		s[--len] = '\0';
	return s;
}

static int
lines_take(struct config *config, const char *text, const char *path, char error[CONFIG_ERROR_LEN])
{
	_cleanup_(text_wipe) char *copy = text ? strdup(text) : NULL;
	uint32_t seen = 0;
	unsigned number = 0;
	char where[400];

	if (!copy)
		return -ENOMEM;
	for (char *line = copy, *end; line; line = end) {
		char *trimmed;
		int r;

		end = strchr(line, '\n');
		if (end)
			*end++ = '\0';
		number++;
		trimmed = trim(line);
		if (!*trimmed || *trimmed == '#')
			continue;
		snprintf(where, sizeof(where), "%.300s line %u: ", path, number);
		r = line_take(config, trimmed, where, &seen, error);
		if (r < 0) {
			bytes_wipe(copy, strlen(text)); /* its NULs would stop text_wipe() early */
			return r;
		}
	}
	bytes_wipe(copy, strlen(text));
	return 0;
}

int
config_parse(struct config *config, const char *text, char error[CONFIG_ERROR_LEN])
{
	return lines_take(config, text, "configuration", error);
}

/* What is in the environment under other names is not ours to judge. */
static int
environment_take(struct config *config, char *const env[], char error[CONFIG_ERROR_LEN])
{
	uint32_t seen = 0;

	for (; env && *env; env++) {
		const char *equals = strchr(*env, '=');
		_cleanup_(text_wipe) char *line = NULL;
		bool file;
		int r;

		if (!equals || !equals[1] || !option_find(*env, (size_t)(equals - *env), &file))
			continue;
		line = strdup(*env);
		if (!line)
			return -ENOMEM;
		r = line_take(config, line, "", &seen, error);
		if (r < 0)
			return r;
	}
	return 0;
}

static const char *
env_get(char *const env[], const char *name)
{
	const size_t len = strlen(name);

	for (; env && *env; env++)
		if (strncmp(*env, name, len) == 0 && (*env)[len] == '=' && (*env)[len + 1])
			return *env + len + 1;
	return NULL;
}

static int
path_join(char *out, size_t len, const char *dir, const char *name)
{
	const int n = snprintf(out, len, "%s/%s", dir, name);

	return n < 0 || (size_t)n >= len || dir[0] != '/' ? -ENAMETOOLONG : 0;
}

/* The service's own user has its data in its home; others below what XDG says. */
static int
data_dir_default(struct config *config, char *const env[], char error[CONFIG_ERROR_LEN])
{
	const char *xdg = env_get(env, "XDG_DATA_HOME"), *home = env_get(env, "HOME");
	int r = -ENOENT;

	if (home && strcmp(home, CONFIG_SERVICE_HOME) == 0)
		r = snprintf(config->data_dir, sizeof(config->data_dir), "%s", home);
	else if (xdg)
		r = path_join(config->data_dir, sizeof(config->data_dir), xdg, "warren");
	else if (home)
		r = path_join(config->data_dir, sizeof(config->data_dir), home, ".local/share/warren");
	if (r < 0)
		return fail(error,
			    "WARREN_DATA_DIR: not given, and neither XDG_DATA_HOME nor HOME names a usable "
			    "directory; allowed: %s",
			    value_PATH.allowed);
	return 0;
}

int
config_runtime_dir(char out[CONFIG_PATH_LEN], const char *data_dir, char *const env[])
{
	const char *xdg = env_get(env, "XDG_RUNTIME_DIR");
	struct stat st;

	if (lstat(CONFIG_SERVICE_RUNTIME, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid()) {
		snprintf(out, CONFIG_PATH_LEN, "%s", CONFIG_SERVICE_RUNTIME);
		return 0;
	}
	if (xdg)
		return path_join(out, CONFIG_PATH_LEN, xdg, "warren");
	return path_join(out, CONFIG_PATH_LEN, data_dir, "run");
}

static int
defaults_derive(struct config *config, char *const env[], char error[CONFIG_ERROR_LEN])
{
	char dir[CONFIG_PATH_LEN];
	int r;

	if (!*config->data_dir) {
		r = data_dir_default(config, env, error);
		if (r < 0)
			return r;
	}
	if (*config->admin_socket)
		return 0;
	r = config_runtime_dir(dir, config->data_dir, env);
	if (r == 0)
		r = path_join(config->admin_socket, sizeof(config->admin_socket), dir, "admin.sock");
	if (r < 0)
		return fail(error,
			    "WARREN_ADMIN_SOCKET: not given, and the run-time directory's path is too long; "
			    "allowed: %s",
			    value_SOCKET_PATH.allowed);
	return 0;
}

int
config_load(struct config *ret, char *const env[], const char *path, char error[CONFIG_ERROR_LEN])
{
	_cleanup_(text_wipe) char *text = NULL;
	int r;

	error[0] = '\0';
	config_init(ret);
	if (path) {
		r = file_read(path, CONFIG_FILE_MAX, &text);
		if (r < 0)
			r = fail(error,
				 "%.300s: %s; allowed: a text file of lines NAME=value, at most %d bytes",
				 path, error_words(r), CONFIG_FILE_MAX);
		else
			r = lines_take(ret, text, path, error);
		if (r < 0)
			goto failed;
	}
	r = environment_take(ret, env, error);
	if (r == 0)
		r = defaults_derive(ret, env, error);
	if (r == 0)
		return 0;
failed:
	if (!*error)
		snprintf(error, CONFIG_ERROR_LEN, "%s", error_words(r));
	config_done(ret);
	return r;
}

void
config_init(struct config *config)
{
	char error[CONFIG_ERROR_LEN];

	memset(config, 0, sizeof(*config));
	for (size_t i = 0; i < CONFIG_COUNT; i++)
		if (option_set(config, &options[i], options[i].preset, "", error) < 0)
			abort(); /* the table's own default */
}

int
config_print(const struct config *config, bool secrets, char *out, size_t len)
{
	size_t used = 0;

	for (size_t i = 0; i < CONFIG_COUNT; i++) {
		char value[CONFIG_URL_LEN];
		int n;

		options[i].kind->print((const char *)config + options[i].offset, value, sizeof(value));
		n = snprintf(out + used, len - used, "%s=%s\n", options[i].name,
			     *value && options[i].kind->secret && !secrets ? "***" : value);
		bytes_wipe(value, sizeof(value));
		if (n < 0 || (size_t)n >= len - used)
			return -ENOSPC;
		used += (size_t)n;
	}
	return (int)used;
}

void
config_help(FILE *out)
{
	for (size_t i = 0; i < CONFIG_COUNT; i++) {
		const struct option *option = &options[i];

		fprintf(out, "  %-22s %s\n  %22s allowed: %s%s%s\n", option->name, option->words, "",
			option->kind->allowed, *option->preset ? "; default: " : "", option->preset);
		if (option->kind->secret)
			fprintf(out, "  %s_FILE  a file to read it from\n", option->name);
	}
}

unsigned
config_workers(const struct config *config)
{
	cpu_set_t set;

	if (config->workers)
		return config->workers;
	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return 1;
	return MAX(MIN((unsigned)CPU_COUNT(&set), (unsigned)CONFIG_WORKERS_MAX), 1U);
}

void
config_done(struct config *config)
{
	bytes_wipe(config, sizeof(*config));
}
