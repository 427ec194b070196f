#include "server/arguments.h"

#include <errno.h>
#include <getopt.h>

#include "server/proc/config.h"

enum { OPTION_USER = 256, OPTION_HELP, OPTION_VERSION };

static const struct option options[] = {
	{"config", required_argument, NULL, 'c'},       {"check", no_argument, NULL, 'n'},
	{"user", required_argument, NULL, OPTION_USER}, {"help", no_argument, NULL, OPTION_HELP},
	{"version", no_argument, NULL, OPTION_VERSION}, {0},
};

int
arguments_parse(struct arguments *ret, int argc, char *argv[])
{
	int c;

	*ret = (struct arguments){0};
	while ((c = getopt_long(argc, argv, "c:nh", options, NULL)) != -1)
		switch (c) {
		case 'c':
			ret->file = optarg;
			break;
		case 'n':
			ret->check = true;
			break;
		case OPTION_USER:
			ret->user = optarg;
			break;
		case 'h':
		case OPTION_HELP:
			ret->help = true;
			break;
		case OPTION_VERSION:
			ret->version = true;
			break;
		default:
			fprintf(stderr, "warrend --help lists what can be given\n");
			return -EINVAL;
		}
	if (optind < argc) {
		fprintf(stderr,
			"warrend: \"%s\" is no option; options are given by environment and file (warrend "
			"--help)\n",
			argv[optind]);
		return -EINVAL;
	}
	return 0;
}

void
arguments_help(FILE *out)
{
	fputs("usage: warrend [-c FILE] [-n] [--user NAME]\n"
	      "\n"
	      "Starts a WireGuard gateway that needs no privilege, and stays in the foreground.\n"
	      "\n"
	      "  -c, --config FILE   options from FILE: lines NAME=value, # begins a comment line\n"
	      "  -n, --check         check the options, print them back, start nothing\n"
	      "      --user NAME     as root: become this user first\n"
	      "  -h, --help          this\n"
	      "      --version       the version\n"
	      "\n"
	      "Options, from the environment, else the file, else the default:\n"
	      "\n",
	      out);
	config_help(out);
}
