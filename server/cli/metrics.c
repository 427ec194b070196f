#include <stdio.h>

#include "server/cli/call.h"

int
run_metrics(struct cli *cli)
{
	_cleanup_(answer_donep) struct answer answer = {0};
	const struct call call = {.method = "GET", .path = "/metrics", .text = true};
	const int r = call_any(cli, &call, &answer);

	if (r != STATUS_OK)
		return r;
	fputs(answer.text, stdout);
	return STATUS_OK;
}
