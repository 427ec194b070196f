/*
 * Prints what host_networks() finds, and with which of it each pool among the arguments clashes.
 */
#include <stdio.h>

#include "base/errors.h"
#include "server/net/host.h"

static void
print_source(const struct ip *source)
{
	char text[IP_TEXT_LEN];

	if (!source->family)
		return;
	ip_text(text, source);
	printf("source %s\n", text);
}

static void
print_network(const char *what, const struct host_network *network)
{
	char text[CIDR_TEXT_LEN];

	if (!network) {
		printf("%s none\n", what);
		return;
	}
	cidr_text(text, &network->cidr);
	printf("%s %s %s\n", what, text, *network->ifname ? network->ifname : "-");
}

int
main(int argc, char *argv[])
{
	static struct host_networks networks;
	const int r = host_networks(&networks);

	if (r < 0) {
		printf("error %s\n", error_words(r));
		return 1;
	}
	for (size_t i = 0; i < networks.n; i++)
		print_network("network", &networks.v[i]);
	print_source(&networks.source4);
	print_source(&networks.source6);
	if (networks.cut)
		printf("cut\n");
	for (int i = 1; i < argc; i++) {
		struct cidr pool;

		if (cidr_parse(&pool, argv[i]) < 0)
			return 2;
		print_network(argv[i], host_networks_clash(&networks, &pool));
	}
	return 0;
}
