#include "server/cli/help.h"

#include <string.h>

#include "base/cleanup.h"
#include "server/cli/text.h"

#define WIDTH 78

static void
head(FILE *out, const char *text, bool colour)
{
	fprintf(out, "%s%s%s\n", style_begin(STYLE_HEAD, colour), text, style_end(STYLE_HEAD, colour));
}

/* @text in lines of at most WIDTH columns; the first begins at column @at, others at @indent. */
static void
wrap(FILE *out, const char *text, size_t at, size_t indent)
{
	size_t gap = 0;

	while (*text) {
		const size_t len = strcspn(text, " \n");

		if (gap > 0 && at + gap + len > WIDTH) {
			fprintf(out, "\n%*s", (int)indent, "");
			at = indent;
		} else {
			fprintf(out, "%*s", (int)gap, "");
			at += gap;
		}
		fprintf(out, "%.*s", (int)len, text);
		at += len;
		text += len;
		if (*text == '\n') {
			fprintf(out, "\n\n%*s", (int)indent, "");
			at = indent;
			text++;
		}
		gap = strspn(text, " ");
		text += gap;
	}
	fputc('\n', out);
}

void
help_synopsis(FILE *out, const struct command *command)
{
	fprintf(out, "warren %s", command->noun);
	if (command->verb)
		fprintf(out, " %s", command->verb);
	if (*cli_arguments[command->argument].written)
		fprintf(out, " %s", cli_arguments[command->argument].written);
	for (size_t id = 0; id < OPTION_COUNT; id++) {
		const struct cli_option_row *row = &cli_options[id];
		const bool must = id == OPTION_EXPIRES && command->run == run_peer_renew;

		if (!(command->options & BIT(id)) || id == OPTION_HELP)
			continue;
		fprintf(out, must ? " --%s%s%s" : " [--%s%s%s]", row->name, *row->value ? " " : "",
			row->value);
	}
}

static void
line(FILE *out, const struct command *command, bool verb_only)
{
	char name[64];

	if (verb_only)
		snprintf(name, sizeof(name), "%s %s", command->verb,
			 cli_arguments[command->argument].written);
	else
		snprintf(name, sizeof(name), "%s %s%s%s", command->noun, command->verb ? command->verb : "",
			 command->verb ? " " : "", cli_arguments[command->argument].written);
	fprintf(out, "  %-20s  ", name);
	wrap(out, command->summary, 24, 24);
}

void
help_all(FILE *out, bool colour)
{
	fputs("Warren's command line: lets devices into the gateway and shows how it stands.\n\n", out);
	head(out, "Usage", colour);
	fputs("  warren COMMAND [OPTIONS]\n\n", out);
	head(out, "Commands", colour);
	for (size_t i = 0; i < commands_n; i++)
		line(out, &commands[i], false);
	fputs("\n", out);
	head(out, "Everywhere", colour);
	fputs("  -o, --output table|json\n"
	      "  -h, --help\n"
	      "  --version\n\n"
	      "`warren help COMMAND` says more; warren(1) says all.\n",
	      out);
}

void
help_noun(FILE *out, const char *noun, bool colour)
{
	fprintf(out, "warren %s: %s\n\n", noun, noun_words(noun));
	head(out, "Commands", colour);
	for (size_t i = 0; i < commands_n; i++)
		if (strcmp(commands[i].noun, noun) == 0)
			line(out, &commands[i], true);
	fprintf(out, "\n`warren help %s VERB` says more.\n", noun);
}

static void
option_line(FILE *out, const struct cli_option_row *row)
{
	char name[64];

	if (row->letter)
		snprintf(name, sizeof(name), "-%c, --%s%s%s", row->letter, row->name, *row->value ? " " : "",
			 row->value);
	else
		snprintf(name, sizeof(name), "--%s%s%s", row->name, *row->value ? " " : "", row->value);
	fprintf(out, "  %-24s  ", name);
	wrap(out, row->words, 28, 28);
}

void
help_command(FILE *out, const struct command *command, bool colour)
{
	_cleanup_(freep) char *synopsis = NULL;
	size_t len;
	FILE *text = open_memstream(&synopsis, &len);

	wrap(out, command->summary, 0, 0);
	fputc('\n', out);
	head(out, "Usage", colour);
	if (text) {
		help_synopsis(text, command);
		if (fclose(text) == 0) {
			fputs("  ", out);
			wrap(out, synopsis, 2, 6);
		}
	}
	if (command->words) {
		fputc('\n', out);
		wrap(out, command->words, 0, 0);
	}
	fputc('\n', out);
	head(out, "Options", colour);
	for (size_t id = 0; id < OPTION_COUNT; id++)
		if (command->options & BIT(id))
			option_line(out, &cli_options[id]);
	if (command->example) {
		fputc('\n', out);
		head(out, "Example", colour);
		fprintf(out, "  %s\n", command->example);
	}
}
