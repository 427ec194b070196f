#include "server/cli/fields.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *
field_text(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? text : "";
}

int64_t
field_number(const json_t *object, const char *name, int64_t fallback)
{
	const json_t *number = json_object_get(object, name);

	return json_is_integer(number) ? json_integer_value(number) : fallback;
}

bool
field_true(const json_t *object, const char *name)
{
	return json_is_true(json_object_get(object, name));
}

/* The length of @text without a prefix length that says nothing. */
static size_t
bare_len(const char *text)
{
	const char *slash = strchr(text, '/');
	const bool v6 = strchr(text, ':') != NULL;

	return slash && strcmp(slash, v6 ? "/128" : "/32") == 0 ? (size_t)(slash - text) : strlen(text);
}

char *
field_list(const json_t *object, const char *name, bool bare)
{
	const json_t *list = json_object_get(object, name);
	char *text = NULL;
	size_t len, i;
	json_t *item;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return NULL;
	json_array_foreach(list, i, item)
	{
		const char *one = json_string_value(item);

		if (one)
			fprintf(out, "%s%.*s", i ? ", " : "", (int)(bare ? bare_len(one) : strlen(one)), one);
	}
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}
