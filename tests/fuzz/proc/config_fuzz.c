/* The configuration's lines: what is taken reads back, printed, as the same. */
#include "server/proc/config.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static char text[2][2 * CONFIG_TEXT_LEN];
	char error[CONFIG_ERROR_LEN];
	struct config config, again;
	char *input = malloc(len + 1);

	memcpy(input, data, len);
	input[len] = '\0';
	config_init(&config);
	/* no files: what is in them is not the input's */
	if (!strstr(input, "_FILE") && config_parse(&config, input, error) == 0) {
		assert(config_print(&config, true, text[0], sizeof(text[0])) > 0);
		config_init(&again);
		assert(config_parse(&again, text[0], error) == 0);
		assert(config_print(&again, true, text[1], sizeof(text[1])) > 0);
		assert(strcmp(text[0], text[1]) == 0);
	}
	free(input);
	return 0;
}
