/* What the kernel must allow: the words for each refusal, and the device. */
#include "server/proc/isolation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/errors.h"

static void
each_refusal_of_a_namespace_has_reason_and_remedy(void **state)
{
	static const struct {
		int err;
		const char *reason, *remedy;
	} lines[] = {
		{EPERM, "Operation not permitted", "seccomp"},
		{EACCES, "Permission denied", "seccomp"},
		{ENOSPC, "too many", "sysctl"},
		{EINVAL, "kernel", "CONFIG_USER_NS"},
		{ENOSYS, "kernel", "CONFIG_USER_NS"},
	};
	struct trouble t;

	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		assert_int_equal(namespaces_explain(lines[i].err, &t), -ERR_NO_USERNS);
		/* a host that limits them says so instead, whatever the error */
		if (strstr(t.text, "limited to 0") || strstr(t.text, "forbidden to ordinary users") ||
		    strstr(t.text, "AppArmor"))
			continue;
		if (!strstr(t.text, lines[i].reason) || !strstr(t.text, lines[i].remedy))
			fail_msg("%s: %s", strerror(lines[i].err), t.text);
	}
}

static void
a_device_that_is_missing_or_none_is_said(void **state)
{
	struct trouble t;

	assert_int_equal(tun_check("/nonexistent/tun", &t), -ERR_NO_TUN);
	assert_non_null(strstr(t.text, "/nonexistent/tun is not there"));
	assert_non_null(strstr(t.text, "mknod"));
	assert_int_equal(tun_check("/dev/null", &t),
			 0); /* that it opens is all that can be told without making one */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_refusal_of_a_namespace_has_reason_and_remedy),
		cmocka_unit_test(a_device_that_is_missing_or_none_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
