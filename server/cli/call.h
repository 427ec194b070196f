/*
 * What the commands share: a call whose trouble is printed, JSON for programs, notes for people.
 */
#ifndef SERVER_CLI_CALL_H
#define SERVER_CLI_CALL_H

#include "server/cli/client.h"
#include "server/cli/commands.h"
#include "server/cli/text.h"

static inline void
answer_donep(struct answer *answer)
{
	client_answer_done(answer);
}

#define PATH_LEN 256

/* 0 and @ret, the caller's; or an exit status, and the trouble is printed. */
int call_any(struct cli *cli, const struct call *call, struct answer *ret) _must_check_;
int call_get(struct cli *cli, const char *path, struct answer *ret) _must_check_;
int call_send(struct cli *cli, const char *method, const char *path, const json_t *body,
	      struct answer *ret) _must_check_;

/*
 * The members @list of all pages of @path, from the first on and at most @max of them, in a new array.
 */
int call_pages(struct cli *cli, const char *path, const char *list, size_t max, json_t **ret) _must_check_;

/* "/peers/NAME" and @behind. */
void peer_path(char out[PATH_LEN], const char *peer, const char *behind);

/* @json as it is to standard output; returns an exit status. */
int json_out(const json_t *json);

/* A line on standard error for the person: "warren: …". */
void note(const struct cli *cli, enum style style, const char *format, ...) _printf_(3, 4);

/* Says that memory is gone; returns the exit status. */
int no_memory(void);

/* Says whether the tunnel has the change of @answer already. */
void note_applied(const struct cli *cli, const json_t *answer);

#endif
