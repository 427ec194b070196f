/*
 * warren(1): the command line.  It speaks the API over the admin socket and knows nothing that the API
 * does not say; private keys of peers are made here and never sent.
 */
#include <curl/curl.h>
#include <errno.h>
#include <jansson.h>
#include <malloc.h>
#include <string.h>

#include "base/bytes.h"
#include "base/errors.h"
#include "base/secrets.h"
#include "server/cli/client.h"
#include "server/cli/run.h"
#include "server/cli/text.h"

/* JSON may hold a configuration (peer add -o json): what it frees is wiped. */
static void
free_wiped(void *p)
{
	if (p)
		bytes_wipe(p, malloc_usable_size(p));
	free(p);
}

/* A full disk must not look like success. */
static int
output_end(int status)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	fprintf(stderr, "warren: standard output: %s\n", strerror(errno));
	return status == STATUS_OK ? STATUS_FAILED : status;
}

int
main(int argc, char *argv[])
{
	struct cli cli = {.now = time(NULL)};
	int r;

	r = process_harden();
	if (r < 0) {
		fprintf(stderr, "warren: %s\n", error_words(r));
		return STATUS_FAILED;
	}
	text_init();
	json_set_alloc_funcs(malloc, free_wiped);
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return STATUS_FAILED;
	cli.colour = style_wanted(stdout);
	cli.err_colour = style_wanted(stderr);
	r = output_end(cli_run(&cli, argv));
	client_free(cli.client);
	curl_global_cleanup();
	return r;
}
