/* warren(1) in the man macros, from the table of commands. */
#include "server/cli/help.h"

#include <string.h>

#include "base/cleanup.h"

#define LINE_MAX_COLUMNS 70
#define MANUAL_DATE      "2026-11-24"

/* A character for troff that is no escape and no ligature's part. */
static void
put_one(FILE *out, char c)
{
	if (c == '\\')
		fputs("\\e", out);
	else if (c == '-')
		fputs("\\-", out);
	else
		fputc(c, out);
}

/* Text for troff: nothing in it is a request; `…` becomes quotes.  Long lines are broken if @fill. */
static void
put(FILE *out, const char *text, bool fill)
{
	bool open = false;
	size_t column = 0;

	for (; *text; text++) {
		if (column == 0 && strchr(".'", *text))
			fputs("\\&", out);
		column++;
		if (*text == '`') {
			fputs(open ? "\\(cq" : "\\(oq", out);
			open = !open;
		} else if (*text == ' ' && fill && column + strcspn(text + 1, " ") > LINE_MAX_COLUMNS) {
			fputc('\n', out);
			text += strspn(text, " ") - 1;
			column = 0;
		} else {
			put_one(out, *text);
		}
	}
	fputc('\n', out);
}

static void
section(FILE *out, const char *title)
{
	fprintf(out, ".SH %s\n", title);
}

static void
synopsis(FILE *out, const struct command *command)
{
	_cleanup_(freep) char *text = NULL;
	size_t len;
	FILE *memory = open_memstream(&text, &len);

	if (!memory)
		return;
	help_synopsis(memory, command);
	if (fclose(memory) != 0)
		return;
	fputs(".TP\n.B ", out);
	put(out, text, false);
}

static void
command_write(FILE *out, const struct command *command)
{
	synopsis(out, command);
	fputc((unsigned char)command->summary[0] & ~0x20, out);
	put(out, command->summary + 1, true);
	if (command->words) {
		fputs(".IP\n", out);
		for (const char *at = command->words; *at;) {
			_cleanup_(freep) char *part = strndup(at, strcspn(at, "\n"));

			if (!part)
				return;
			put(out, part, true);
			at += strlen(part);
			if (*at++ != '\n')
				break;
			fputs(".IP\n", out);
		}
	}
	if (command->example) {
		fputs(".IP\nExample:\n.B ", out);
		put(out, command->example, false);
	}
}

static void
option_write(FILE *out, const struct cli_option_row *row)
{
	fputs(".TP\n.B ", out);
	if (row->letter)
		fprintf(out, "\\-%c, ", row->letter);
	fprintf(out, "\\-\\-%s%s%s\n", row->name, *row->value ? " " : "", row->value);
	put(out, row->words, true);
}

static const struct {
	const char *tag, *words;
} statuses[] =
	{
		{"0", "done"},
		{"1", "refused by the gateway, or failed here"},
		{"2", "the command line is wrong"},
		{"3", "the gateway is not reachable or did not answer"},
},
  environment[] = {
	  {"WARREN_ADMIN_SOCKET",
	   "the gateway's admin socket; else /run/warren/admin.sock if it is there, else "
	   "$XDG_RUNTIME_DIR/warren/admin.sock"},
	  {"NO_COLOR",
	   "if not empty: no colours.  There are none either where the output is not a terminal."},
};

void
manual_write(FILE *out)
{
	fputs(".TH WARREN 1 \"" MANUAL_DATE "\" \"Warren " WARREN_VERSION "\" \"User Commands\"\n", out);
	section(out, "NAME");
	fputs("warren \\- let devices into a Warren gateway and see how it stands\n", out);
	section(out, "SYNOPSIS");
	fputs(".B warren\n.I COMMAND\n.RI [ OPTIONS ]\n.PP\n.B warren \\-\\-version\n", out);
	section(out, "DESCRIPTION");
	put(out,
	    "warren speaks to warrend over its admin socket; root, the server's own user and members of "
	    "group "
	    "warren are let in.  Private keys of peers are made here and never sent.",
	    true);
	section(out, "COMMANDS");
	for (size_t i = 0; i < commands_n; i++)
		command_write(out, &commands[i]);
	section(out, "OPTIONS");
	for (size_t id = 0; id < OPTION_COUNT; id++)
		option_write(out, &cli_options[id]);
	section(out, "EXIT STATUS");
	for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
		fprintf(out, ".TP\n.B %s\n", statuses[i].tag);
		put(out, statuses[i].words, true);
	}
	section(out, "ENVIRONMENT");
	for (size_t i = 0; i < ARRAY_LEN(environment); i++) {
		fprintf(out, ".TP\n.B %s\n", environment[i].tag);
		put(out, environment[i].words, true);
	}
	section(out, "SEE ALSO");
	fputs(".BR warrend (8),\n.BR wg (8),\n.BR wg\\-quick (8)\n", out);
}
