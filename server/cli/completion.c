/*
 * Completions of three shells, from the table of commands.  Each script reads the words before the
 * cursor in the same way: the first two that are neither options nor values of options are noun and verb.
 * Names of peers are asked of the gateway while completing (`warren completion peers`).
 */
#include "server/cli/help.h"

#include <string.h>

#include "base/cleanup.h"

/* Writes each noun, or each verb of @noun, parted by spaces. */
static void
words(FILE *out, const char *noun)
{
	const char *gap = "";

	for (size_t i = 0; i < commands_n; i++) {
		if (noun ? strcmp(commands[i].noun, noun) != 0 : !command_is_first(&commands[i]))
			continue;
		fprintf(out, "%s%s", gap, noun ? commands[i].verb : commands[i].noun);
		gap = " ";
	}
}

/* The options of @command that are written so, each behind @before, parted by spaces. */
static void
options(FILE *out, const struct command *command)
{
	const char *gap = "";

	for (size_t id = 0; id < OPTION_COUNT; id++)
		if (command->options & BIT(id)) {
			fprintf(out, "%s--%s", gap, cli_options[id].name);
			gap = " ";
		}
}

/* A pattern of all options with a value: "--expires|--out|-o". */
static void
valued(FILE *out)
{
	const char *gap = "";

	for (size_t id = 0; id < OPTION_COUNT; id++) {
		if (!*cli_options[id].value)
			continue;
		fprintf(out, "%s--%s", gap, cli_options[id].name);
		gap = "|";
		if (cli_options[id].letter)
			fprintf(out, "|-%c", cli_options[id].letter);
	}
}

/* The shell words that yield what stands behind @command; "" for nothing. */
static const char *
candidates(const struct command *command)
{
	static const char *const by_argument[ARGUMENT_COUNT] = {
		[ARGUMENT_PEER] = "$(warren completion peers 2>/dev/null)",
		[ARGUMENT_SHELL] = "bash zsh fish",
	};

	return by_argument[command->argument] ? by_argument[command->argument] : "";
}

/* `case` arms of noun and verb, common to bash and zsh: set $choices and $options. */
static void
arms(FILE *out)
{
	for (size_t i = 0; i < commands_n; i++) {
		const struct command *command = &commands[i];

		if (command_is_first(command) && command->verb) {
			fprintf(out, "\t'%s ') choices='", command->noun);
			words(out, command->noun);
			fputs("' options='--help' ;;\n", out);
		}
		if (command->verb)
			fprintf(out, "\t'%s %s') ", command->noun, command->verb);
		else
			fprintf(out, "\t'%s '*) ", command->noun);
		if (command->argument == ARGUMENT_COMMAND) {
			fputs("choices='", out);
			words(out, NULL);
			fputc('\'', out);
		} else {
			fprintf(out, "(( given )) || choices=\"%s\"", candidates(command));
		}
		fputs("; options='", out);
		options(out, command);
		fputs("' ;;\n", out);
	}
}

/* The walk over the words before the cursor; @first: the index of the word behind `warren`. */
static void
walk(FILE *out, const char *array, const char *end, int first)
{
	fprintf(out,
		"\tfor ((i = %d; i < %s; i++)); do\n"
		"\t\tcase ${%s[i]} in\n\t\t",
		first, end, array);
	valued(out);
	fprintf(out,
		") ((i++)) ;;\n"
		"\t\t-*) ;;\n"
		"\t\t*)\tif [[ -z $noun ]]; then noun=${%s[i]}\n"
		"\t\t\telif [[ -z $verb && ' ",
		array);
}

/* The nouns that have verbs, parted by spaces. */
static void
nouns_with_verbs(FILE *out)
{
	const char *gap = "";

	for (size_t i = 0; i < commands_n; i++)
		if (command_is_first(&commands[i]) && commands[i].verb) {
			fprintf(out, "%s%s", gap, commands[i].noun);
			gap = " ";
		}
}

static void
shell_write(FILE *out, const char *array, const char *end, int first, bool bash)
{
	walk(out, array, end, first);
	nouns_with_verbs(out);
	fprintf(out,
		" ' == *\" $noun \"* ]]; then verb=${%s[i]}\n"
		"\t\t\telse given=1\n"
		"\t\t\tfi ;;\n"
		"\t\tesac\n"
		"\tdone\n"
		"\tcase $before in\n"
		"\t--out) %s; return ;;\n"
		"\t-o|--output) choices='table json' ;;\n"
		"\t--expires) choices='%s' ;;\n",
		array, bash ? "COMPREPLY=($(compgen -f -- \"$current\"))" : "_files", "30d 12h 90m never");
	fputs("\t--routes|--limit) return ;;\n"
	      "\t*)\tcase \"$noun $verb\" in\n"
	      "\t' ') choices='",
	      out);
	words(out, NULL);
	fputs("' options='--help --version' ;;\n", out);
	arms(out);
	fputs("\tesac ;;\n\tesac\n", out);
}

static void
bash_write(FILE *out)
{
	fputs("# bash completion for warren(1)\n"
	      "_warren()\n"
	      "{\n"
	      "\tlocal current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}\n"
	      "\tlocal noun='' verb='' given=0 choices='' options='' i\n",
	      out);
	shell_write(out, "COMP_WORDS", "COMP_CWORD", 1, true);
	fputs("\t[[ $current != -* ]] || choices=$options\n"
	      "\tCOMPREPLY=($(compgen -W \"$choices\" -- \"$current\"))\n"
	      "}\n"
	      "complete -F _warren warren\n",
	      out);
}

static void
zsh_write(FILE *out)
{
	fputs("#compdef warren\n"
	      "# zsh completion for warren(1)\n"
	      "_warren()\n"
	      "{\n"
	      "\tlocal current=${words[CURRENT]} before=${words[CURRENT-1]} i\n"
	      "\tlocal -a line=(\"${words[@]}\")\n"
	      "\tlocal noun='' verb='' given=0 choices='' options=''\n",
	      out);
	shell_write(out, "line", "CURRENT", 2, false);
	fputs("\t[[ $current != -* ]] || choices=$options\n"
	      "\tcompadd -- ${=choices}\n"
	      "}\n"
	      "if [[ ${funcstack[1]} == _warren ]]; then _warren \"$@\"; else compdef _warren warren; fi\n",
	      out);
}

/* In single quotes for fish. */
static void
fish_quoted(FILE *out, const char *text)
{
	fputc('\'', out);
	for (; *text; text++) {
		if (*text == '\'' || *text == '\\')
			fputc('\\', out);
		fputc(*text, out);
	}
	fputc('\'', out);
}

static void
fish_command(FILE *out, const struct command *command)
{
	const char *verb = command->verb ? command->verb : "";

	if (command_is_first(command)) {
		fprintf(out, "complete -c warren -n '__warren_at' -a %s -d ", command->noun);
		fish_quoted(out, command->verb ? noun_words(command->noun) : command->summary);
		fputc('\n', out);
	}
	if (command->verb) {
		fprintf(out, "complete -c warren -n '__warren_at %s' -a %s -d ", command->noun, verb);
		fish_quoted(out, command->summary);
		fputc('\n', out);
	}
	if (command->argument == ARGUMENT_PEER)
		fprintf(out,
			"complete -c warren -n '__warren_at %s %s' -a '(warren completion peers "
			"2>/dev/null)'\n",
			command->noun, verb);
	else if (command->argument == ARGUMENT_SHELL)
		fprintf(out, "complete -c warren -n '__warren_at %s' -a 'bash zsh fish'\n", command->noun);
	else if (command->argument == ARGUMENT_COMMAND) {
		fprintf(out, "complete -c warren -n '__warren_at %s' -a '", command->noun);
		words(out, NULL);
		fputs("'\n", out);
	}
}

static void
fish_options(FILE *out, const struct command *command)
{
	for (size_t id = 0; id < OPTION_COUNT; id++) {
		const struct cli_option_row *row = &cli_options[id];

		if (!(command->options & BIT(id)))
			continue;
		fprintf(out, "complete -c warren -n '__warren_in %s%s%s' -l %s", command->noun,
			command->verb ? " " : "", command->verb ? command->verb : "", row->name);
		if (row->letter)
			fprintf(out, " -s %c", row->letter);
		if (id == OPTION_OUT)
			fputs(" -r -F", out);
		else if (id == OPTION_OUTPUT)
			fputs(" -x -a 'table json'", out);
		else if (*row->value)
			fputs(" -x", out);
		fputs(" -d ", out);
		fish_quoted(out, row->words);
		fputc('\n', out);
	}
}

static void
fish_write(FILE *out)
{
	fputs("# fish completion for warren(1)\n"
	      "function __warren_words\n"
	      "\tset -l skip 0\n"
	      "\tfor word in (commandline -opc)[2..-1]\n"
	      "\t\tif test $skip = 1\n"
	      "\t\t\tset skip 0\n"
	      "\t\t\tcontinue\n"
	      "\t\tend\n"
	      "\t\tswitch $word\n"
	      "\t\t\tcase",
	      out);
	for (size_t id = 0; id < OPTION_COUNT; id++) {
		if (!*cli_options[id].value)
			continue;
		fprintf(out, " --%s", cli_options[id].name);
		if (cli_options[id].letter)
			fprintf(out, " -%c", cli_options[id].letter);
	}
	fputs("\n"
	      "\t\t\t\tset skip 1\n"
	      "\t\t\tcase '-*'\n"
	      "\t\t\tcase '*'\n"
	      "\t\t\t\techo $word\n"
	      "\t\tend\n"
	      "\tend\n"
	      "end\n"
	      "# The words before the cursor are exactly these.\n"
	      "function __warren_at\n"
	      "\ttest \"$(__warren_words | string join ' ')\" = \"$argv\"\n"
	      "end\n"
	      "# They begin with these.\n"
	      "function __warren_in\n"
	      "\tstring match -q -- \"$argv *\" \"$(__warren_words | string join ' ') \"\n"
	      "end\n"
	      "complete -c warren -f\n"
	      "complete -c warren -n '__warren_at' -l version\n"
	      "complete -c warren -n '__warren_at' -l help -s h\n",
	      out);
	for (size_t i = 0; i < commands_n; i++) {
		fish_command(out, &commands[i]);
		fish_options(out, &commands[i]);
	}
}

bool
completion_write(FILE *out, const char *shell)
{
	static const struct {
		const char *shell;
		void (*write)(FILE *out);
	} shells[] = {{"bash", bash_write}, {"zsh", zsh_write}, {"fish", fish_write}};

	for (size_t i = 0; i < ARRAY_LEN(shells); i++)
		if (strcmp(shells[i].shell, shell) == 0) {
			shells[i].write(out);
			return true;
		}
	return false;
}
