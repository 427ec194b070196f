#include "server/owner.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

static int
drop(const struct passwd *user)
{
	if (initgroups(user->pw_name, user->pw_gid) < 0 ||
	    setresgid(user->pw_gid, user->pw_gid, user->pw_gid) < 0 ||
	    setresuid(user->pw_uid, user->pw_uid, user->pw_uid) < 0)
		return -errno;
	return setuid(0) == 0 || setgid(0) == 0 ? -EPERM : 0; /* there is no way back */
}

/* What root's session said about itself is not true of the user. */
static int
environment_match(const struct passwd *user)
{
	static const char *const roots[] = {"XDG_RUNTIME_DIR", "XDG_DATA_HOME", "XDG_CONFIG_HOME",
					    "XDG_STATE_HOME", "XDG_CACHE_HOME"};

	for (size_t i = 0; i < ARRAY_LEN(roots); i++)
		if (unsetenv(roots[i]) < 0)
			return -errno;
	if (setenv("HOME", user->pw_dir, 1) < 0 || setenv("USER", user->pw_name, 1) < 0 ||
	    setenv("LOGNAME", user->pw_name, 1) < 0)
		return -errno;
	return 0;
}

int
owner_become(const char *name, struct trouble *t)
{
	const struct passwd *user;
	int r;

	if (!name)
		return geteuid() != 0 ? 0
				      : trouble(t, -EPERM,
						"it needs no root and does not run as root; start it as an "
						"ordinary user, or as root "
						"with --user NAME (`make run` as root makes a user warren "
						"and does that)");
	errno = 0;
	user = getpwnam(name);
	if (!user)
		return trouble(
			t, -ENOENT,
			"--user: there is no user \"%.100s\"%s%s; as root: useradd --system --home-dir "
			"/var/lib/warren --create-home warren",
			name, errno ? ": " : "", errno ? strerror(errno) : "");
	if (user->pw_uid == 0)
		return trouble(t, -EPERM, "--user: \"%.100s\" is root; name an ordinary user", name);
	if (geteuid() == user->pw_uid && getuid() == user->pw_uid)
		return 0;
	if (geteuid() != 0)
		return trouble(t, -EPERM,
			       "--user: only root can become \"%.100s\"; leave it out, or start as root",
			       name);
	r = drop(user);
	if (r == 0)
		r = environment_match(user);
	return r < 0 ? trouble(t, r, "--user: \"%.100s\" cannot be become: %s", name, strerror(-r)) : 0;
}
