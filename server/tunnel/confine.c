/*
 * A filter on system calls, the same for both threads.  What is on no list fails with EPERM and the process
 * goes on: a library that asks for something new loses that, and nobody loses the tunnel.
 */
#include "server/tunnel/confine.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

/* Executing, opening, and reaching into others: what an intruder would want first. */
static const int refused[] = {
	SYS_execve,
	SYS_execveat,
	SYS_openat,
	SYS_openat2,
	SYS_ptrace,
	SYS_process_vm_readv,
	SYS_process_vm_writev,
	SYS_unshare,
	SYS_setns,
	SYS_mount,
	SYS_pivot_root,
	SYS_bpf,
	SYS_perf_event_open,
	SYS_keyctl,
	SYS_add_key,
	SYS_request_key,
	SYS_userfaultfd,
	SYS_io_uring_setup,
	SYS_pidfd_getfd,
	SYS_kexec_load,
#ifdef SYS_open
	SYS_open,
	SYS_creat,
	SYS_fork,
	SYS_vfork,
#endif
};

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#endif

/* The sanitizers read files of /proc when they have something to say. */
#ifdef WARREN_SANITIZED
#define SANITIZED true
#else
#define SANITIZED false
#endif

#define X32_CALLS 0x40000000U

int
confine(void)
{
#ifdef ARCH
	enum { HEAD = 5, TAIL = 2, N = ARRAY_LEN(refused) };
	struct sock_filter filter[HEAD + N + TAIL] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_CALLS, N + 1, 0),
	};
	const struct sock_fprog program = {.len = ARRAY_LEN(filter), .filter = filter};

	if (SANITIZED)
		return 0;
	for (unsigned i = 0; i < N; i++)
		filter[HEAD + i] = (struct sock_filter)BPF_JUMP(
			BPF_JMP | BPF_JEQ | BPF_K, (unsigned)refused[i], (unsigned char)(N - i), 0);
	filter[HEAD + N] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	filter[HEAD + N + 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) != 0)
		return errno == ENOSYS || errno == EINVAL ? 0 : -EPERM; /* a kernel without it */
#endif
	return 0;
}
