#include "server/cli/args.h"

#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include "server/cli/text.h"

#define NEAR 3 /* changes, from which on a word is another word */

struct args {
	struct cli *cli;
	const char *words[4]; /* noun, verb, argument, one too many */
	size_t words_n;
	char *error;
};

static enum args_end _printf_(2, 3) wrong(struct args *args, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(args->error, ARGS_ERROR_LEN, format, ap);
	va_end(ap);
	return ARGS_WRONG;
}

struct nearest {
	const char *word;
	unsigned distance;
};

static void
nearest_look(struct nearest *nearest, const char *word, const char *candidate)
{
	const unsigned distance = text_distance(word, candidate, NEAR);

	if (distance < nearest->distance) {
		nearest->word = candidate;
		nearest->distance = distance;
	}
}

static enum args_end
unknown(struct args *args, const char *kind, const char *word, const struct nearest *nearest)
{
	if (nearest->word)
		return wrong(args, "there is no %s \"%.64s\"; did you mean %s?", kind, word, nearest->word);
	return wrong(args, "there is no %s \"%.64s\"", kind, word);
}

static enum args_end
option_unknown(struct args *args, const char *word, size_t len)
{
	struct nearest nearest = {NULL, NEAR};
	char name[32];

	snprintf(name, sizeof(name), "%.*s", (int)MIN(len, sizeof(name) - 1), word);
	for (size_t i = 0; i < OPTION_COUNT; i++)
		nearest_look(&nearest, name, cli_options[i].name);
	if (nearest.word)
		return wrong(args, "there is no option --%s; did you mean --%s?", name, nearest.word);
	return wrong(args, "there is no option --%s", name);
}

static enum args_end
option_take(struct args *args, size_t id, const char *value)
{
	if (args->cli->value[id] && id != OPTION_HELP)
		return wrong(args, "--%s is given twice", cli_options[id].name);
	if (*cli_options[id].value && !(value && *value))
		return wrong(args, "--%s wants %s", cli_options[id].name, cli_options[id].value);
	args->cli->value[id] = value ? value : "";
	return ARGS_RUN;
}

/* --name, --name value, --name=value; moves *@argv to the last word used. */
static enum args_end
long_take(struct args *args, char *const **argv)
{
	const char *word = **argv + 2, *equals = strchr(word, '=');
	const size_t len = equals ? (size_t)(equals - word) : strlen(word);

	for (size_t id = 0; id < OPTION_COUNT; id++) {
		if (strlen(cli_options[id].name) != len || memcmp(cli_options[id].name, word, len) != 0)
			continue;
		if (!*cli_options[id].value)
			return equals ? wrong(args, "--%s takes no value", cli_options[id].name)
				      : option_take(args, id, NULL);
		return option_take(args, id, equals ? equals + 1 : (*argv)[1] ? *++*argv : NULL);
	}
	return option_unknown(args, word, len);
}

/* -o value, -ovalue, -y. */
static enum args_end
letter_take(struct args *args, char *const **argv)
{
	const char *word = **argv + 1;

	for (size_t id = 0; id < OPTION_COUNT; id++) {
		if (cli_options[id].letter != *word)
			continue;
		if (!*cli_options[id].value)
			return word[1] ? wrong(args, "-%c takes no value", *word)
				       : option_take(args, id, NULL);
		return option_take(args, id, word[1] ? word + 1 : (*argv)[1] ? *++*argv : NULL);
	}
	return wrong(args, "there is no option -%c", (unsigned char)*word < 0x80 ? *word : '?');
}

static enum args_end
words_take(struct args *args, char *const *argv)
{
	bool options = true;

	for (; *argv; argv++) {
		enum args_end end = ARGS_RUN;

		if (options && strcmp(*argv, "--") == 0)
			options = false;
		else if (options && args->words_n == 0 && strcmp(*argv, "--version") == 0)
			return ARGS_VERSION;
		else if (options && strncmp(*argv, "--", 2) == 0)
			end = long_take(args, &argv);
		else if (options && **argv == '-' && (*argv)[1])
			end = letter_take(args, &argv);
		else if (args->words_n < ARRAY_LEN(args->words))
			args->words[args->words_n++] = *argv;
		if (end != ARGS_RUN)
			return end;
	}
	return ARGS_RUN;
}

static enum args_end
noun_unknown(struct args *args, const char *noun)
{
	struct nearest nearest = {NULL, NEAR};

	for (size_t i = 0; i < commands_n; i++)
		nearest_look(&nearest, noun, commands[i].noun);
	return unknown(args, "command", noun, &nearest);
}

static enum args_end
verb_unknown(struct args *args, const char *noun, const char *verb)
{
	struct nearest nearest = {NULL, NEAR};
	char kind[64];

	for (size_t i = 0; i < commands_n; i++)
		if (strcmp(commands[i].noun, noun) == 0)
			nearest_look(&nearest, verb, commands[i].verb);
	snprintf(kind, sizeof(kind), "command %.32s", noun);
	return unknown(args, kind, verb, &nearest);
}

/* The command of the words; *@used counts them. */
static enum args_end
command_take(struct args *args, size_t *used)
{
	const char *noun = args->words[0], *verb = args->words[1];
	const bool help = cli_has(args->cli, OPTION_HELP);
	const bool verbs = noun && noun_has_verbs(noun);

	if (!noun)
		return help ? ARGS_HELP : wrong(args, "no command is given");
	args->cli->command = command_find(noun, verbs ? verb : NULL);
	*used = verbs ? 2 : 1;
	if (args->cli->command)
		return help ? ARGS_HELP : ARGS_RUN;
	if (!verbs)
		return noun_unknown(args, noun);
	if (verb)
		return verb_unknown(args, noun, verb);
	args->cli->argument = noun;
	return help ? ARGS_HELP : wrong(args, "%s wants a verb", noun);
}

static enum args_end
argument_take(struct args *args, size_t used)
{
	const struct command *command = args->cli->command;
	const struct cli_argument_row *row = &cli_arguments[command->argument];
	const size_t max = command->argument == ARGUMENT_COMMAND ? 2
			   : command->argument == ARGUMENT_NONE  ? 0
								 : 1;
	const char *argument = used < args->words_n ? args->words[used] : NULL;

	if (args->words_n > used + max)
		return wrong(args, "\"%.64s\" is too much", args->words[used + max]);
	if (!argument && !row->optional)
		return wrong(args, "%s %s wants %s", command->noun, command->verb ? command->verb : "",
			     row->written);
	if (argument && (command->argument == ARGUMENT_NAME || command->argument == ARGUMENT_PEER) &&
	    !text_is_name(argument))
		return wrong(
			args,
			"\"%.64s\" is not a name: up to %d of A-Z a-z 0-9 . _ -, the first a letter or digit",
			argument, NAME_TEXT_MAX);
	if (argument && command->argument == ARGUMENT_NAME &&
	    argument[strspn(argument, "0123456789")] == '\0')
		return wrong(args, "\"%.64s\" is not a name: digits alone are a peer's number", argument);
	args->cli->argument = argument;
	args->cli->verb = max == 2 && argument && used + 1 < args->words_n ? args->words[used + 1] : NULL;
	return ARGS_RUN;
}

static enum args_end
options_check(struct args *args)
{
	const struct command *command = args->cli->command;
	const char *output = args->cli->value[OPTION_OUTPUT];

	for (size_t id = 0; id < OPTION_COUNT; id++)
		if (args->cli->value[id] && !(command->options & BIT(id)))
			return wrong(args, "%s%s%s takes no --%s", command->noun, command->verb ? " " : "",
				     command->verb ? command->verb : "", cli_options[id].name);
	if (output && strcmp(output, "table") != 0 && strcmp(output, "json") != 0)
		return wrong(args, "--output is table or json, not \"%.64s\"", output);
	args->cli->json = output && strcmp(output, "json") == 0;
	return ARGS_RUN;
}

enum args_end
args_parse(struct cli *cli, char *const argv[], char error[ARGS_ERROR_LEN])
{
	struct args args = {.cli = cli, .error = error};
	enum args_end end;
	size_t used = 0;

	error[0] = '\0';
	end = words_take(&args, argv + 1);
	if (end == ARGS_RUN)
		end = command_take(&args, &used);
	if (end == ARGS_RUN)
		end = argument_take(&args, used);
	if (end == ARGS_RUN)
		end = options_check(&args);
	return end;
}
