/*
 * Wanted minus present, as a trace: one line a change, in the order in which they are made.
 */
#include "server/net/changes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <linux/if_link.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <string.h>

#define DEFAULT                                                                                              \
	"{\"name\":\"default\",\"ifname\":\"wg0\",\"mtu\":1420,\"addresses\":[\"10.82.0.1/16\",\"fd01::1/"   \
	"64\"],"                                                                                             \
	"\"peers_may_meet\":false}"
#define PASTA       "{\"kind\":\"pasta\"}"
#define MOVED(more) "{\"kind\":\"interface\",\"ifname\":\"eth7\"" more "}"
#define NAMED       ",\"addresses\":[\"192.0.2.9/24\"],\"gateways\":[\"192.0.2.1\"]"

static struct net_plan plan;
static struct present present;
static struct net_devices kept;

static void
wanted_of(const char *domain, const char *uplink)
{
	char text[1024], error[NET_ERROR_LEN];

	snprintf(text, sizeof(text), "{\"domains\":[%s],\"uplink\":%s}", domain, uplink);
	if (net_plan_parse(&plan, text, strlen(text), error) < 0)
		fail_msg("%s", error);
	memset(&present, 0, sizeof(present));
	memset(&kept, 0, sizeof(kept));
}

static void
wanted(const char *uplink)
{
	wanted_of(DEFAULT, uplink);
}

static struct net_link *
link_there(const char *ifname, uint16_t type)
{
	struct net_link *link = &present.links[present.n_links++];

	*link = (struct net_link){
		.index = (int)present.n_links, .type = type, .mtu = 1500, .queue_len = 500, .inet6 = true};
	link->tuntap = type == ARPHRD_NONE;
	snprintf(link->ifname, sizeof(link->ifname), "%s", ifname);
	return link;
}

/* As changes_find() wants it. */
static struct net_link *
domain_right(const char *ifname)
{
	struct net_link *link = link_there(ifname, ARPHRD_NONE);

	link->mtu = 1420;
	link->queue_len = TUN_QUEUE_LEN;
	link->addr_gen = IN6_ADDR_GEN_MODE_NONE;
	link->up = link->carrier = true;
	return link;
}

static void
address_there(const struct net_link *link, const char *text)
{
	struct net_address *address = &present.addresses[present.n_addresses++];

	*address = (struct net_address){.index = link->index, .usable = true};
	assert_int_equal(cidr_parse(&address->cidr, text), 0);
}

static void
route_there(const struct net_link *link, const char *gateway)
{
	struct net_route *route = &present.routes[present.n_routes++];

	*route = (struct net_route){.index = link->index};
	assert_int_equal(ip_parse(&route->gateway, gateway), 0);
	route->family = route->gateway.family;
}

static void
network_there(const struct net_link *link, const char *text)
{
	struct net_network *network = &present.networks[present.n_networks++];

	*network = (struct net_network){.index = link->index};
	assert_int_equal(cidr_parse(&network->cidr, text), 0);
}

static void
expect(const char *trace)
{
	static struct changes changes;
	char got[4096] = "", line[CHANGE_TEXT_LEN];

	assert_int_equal(changes_find(&changes, &plan, &present, &kept), 0);
	for (size_t i = 0; i < changes.n; i++) {
		change_text(line, &changes.v[i]);
		snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s\n", line);
	}
	assert_string_equal(got, trace);
}

static void
a_new_device_is_set_up_before_it_is_up(void **state)
{
	wanted(PASTA);
	link_there("wg0", ARPHRD_NONE);
	expect("wg0: sets mtu 1420 queue 1000 no-link-local\n"
	       "wg0: adds 10.82.0.1/16\n"
	       "wg0: adds fd01::1/64\n"
	       "wg0: brings up the link\n");
}

static void
what_is_right_is_left_alone(void **state)
{
	struct net_link *link;

	wanted(MOVED(NAMED));
	link = domain_right("wg0");
	address_there(link, "10.82.0.1/16");
	address_there(link, "fd01::1/64");
	link = link_there("eth7", ARPHRD_ETHER);
	link->up = true;
	address_there(link, "192.0.2.9/24");
	address_there(link, "fe80::1/64");
	address_there(link, "2001:db8::9/64");
	route_there(link, "192.0.2.1");
	route_there(link, "fe80::2");
	expect("");
}

static void
what_a_domain_does_not_name_is_taken_away_first(void **state)
{
	struct net_link *link;

	wanted(PASTA);
	link = domain_right("wg0");
	address_there(link, "10.82.0.1/24");
	address_there(link, "fe80::1/64");
	address_there(link, "fd01::1/64");
	expect("wg0: takes away 10.82.0.1/24\n"
	       "wg0: takes away fe80::1/64\n"
	       "wg0: adds 10.82.0.1/16\n");
}

static void
a_moved_in_uplink_gets_what_the_plan_names(void **state)
{
	struct net_link *link, *other;

	wanted(MOVED(NAMED));
	link = link_there("eth7", ARPHRD_ETHER);
	other = link_there("eth8", ARPHRD_ETHER);
	address_there(link, "198.51.100.4/24");
	address_there(link, "2001:db8::9/64");
	address_there(other, "198.51.100.5/24");
	route_there(link, "198.51.100.1");
	route_there(other, "198.51.100.2");
	route_there(other, "fe80::2");
	expect("eth7: takes away 198.51.100.4/24\n"
	       "eth7: takes away the route 198.51.100.1\n"
	       "eth7: takes away the route 198.51.100.2\n"
	       "eth7: adds 192.0.2.9/24\n"
	       "eth7: brings up the link\n"
	       "eth7: sets the route 192.0.2.1\n");
}

static void
what_the_plan_does_not_name_on_the_uplink_is_roots(void **state)
{
	struct net_link *link;

	wanted(MOVED(""));
	link = link_there("eth7", ARPHRD_ETHER);
	link->up = true;
	address_there(link, "198.51.100.4/24");
	route_there(link, "198.51.100.1");
	expect("");
	link->up = false;
	expect("eth7: brings up the link\n");
}

static void
pastas_link_is_the_ethernet_device_of_dev_net_tun(void **state)
{
	struct net_link *link;

	wanted(PASTA);
	domain_right("wg0");
	link_there("sit0", ARPHRD_SIT);
	link_there("eth1", ARPHRD_ETHER);
	assert_null(present_uplink(&present, &plan));
	link_there("wg9", ARPHRD_NONE);
	link_there("eth*", ARPHRD_ETHER)->tuntap = true;
	assert_null(present_uplink(&present, &plan));
	link = link_there("eth0", ARPHRD_ETHER);
	link->tuntap = true;
	assert_ptr_equal(present_uplink(&present, &plan), link);
}

static void
a_link_that_only_has_a_domains_name_is_not_touched(void **state)
{
	struct net_link *link;

	wanted(PASTA);
	link = link_there("wg0", ARPHRD_ETHER);
	link->tuntap = true;
	address_there(link, "198.51.100.4/24");
	expect("");
}

static void
a_domain_that_is_gone_leaves_its_device_down_and_bare(void **state)
{
	struct net_link *link, *foreign;

	wanted(PASTA);
	link = domain_right("wg0");
	address_there(link, "10.82.0.1/16");
	address_there(link, "fd01::1/64");
	link = domain_right("wg1");
	address_there(link, "10.83.0.1/16");
	foreign = link_there("eth3", ARPHRD_ETHER);
	foreign->up = true;
	address_there(foreign, "198.51.100.4/24");
	expect("");
	snprintf(kept.v[kept.n++], IFNAMSIZ, "wg1");
	expect("wg1: takes down the link\n"
	       "wg1: takes away 10.83.0.1/16\n");
}

#define ROUTED                                                                                               \
	"{\"name\":\"default\",\"ifname\":\"wg0\",\"mtu\":1420,\"addresses\":[\"10.82.0.1/16\",\"fd01::1/"   \
	"64\"],\"peers_may_meet\":false,\"routes\":[\"192.168.7.0/24\",\"fd07::/48\"]}"

static void
routes_to_networks_behind_peers_come_when_the_device_is_up(void **state)
{
	wanted_of(ROUTED, PASTA);
	link_there("wg0", ARPHRD_NONE);
	expect("wg0: sets mtu 1420 queue 1000 no-link-local\n"
	       "wg0: adds 10.82.0.1/16\n"
	       "wg0: adds fd01::1/64\n"
	       "wg0: brings up the link\n"
	       "wg0: adds the route to 192.168.7.0/24\n"
	       "wg0: adds the route to fd07::/48\n");
}

static void
only_routes_that_differ_are_changed(void **state)
{
	struct net_link *link;

	wanted_of(ROUTED, PASTA);
	link = domain_right("wg0");
	address_there(link, "10.82.0.1/16");
	address_there(link, "fd01::1/64");
	network_there(link, "192.168.7.0/24");
	network_there(link, "fd07::/48");
	network_there(link_there("tun9", ARPHRD_NONE), "192.168.9.0/24"); /* another's device */
	expect("");
	present.n_networks = 0;
	network_there(link, "192.168.7.0/25");
	network_there(link, "fd07::/48");
	expect("wg0: takes away the route to 192.168.7.0/25\n"
	       "wg0: adds the route to 192.168.7.0/24\n");
}

static void
a_domain_without_routes_loses_those_it_had(void **state)
{
	struct net_link *link;

	wanted(PASTA);
	link = domain_right("wg0");
	address_there(link, "10.82.0.1/16");
	address_there(link, "fd01::1/64");
	network_there(link, "192.168.7.0/24");
	expect("wg0: takes away the route to 192.168.7.0/24\n");
}

static void
more_changes_than_there_is_room_for_are_an_error(void **state)
{
	static struct changes changes;

	wanted(PASTA);
	for (int i = 0; i < 3; i++) {
		struct net_link *link = domain_right("wg0");

		for (int k = 0; k < PRESENT_ADDRESSES_MAX && i == 0; k++)
			present.addresses[present.n_addresses++].index = link->index;
		link->index = 1;
	}
	assert_int_equal(changes_find(&changes, &plan, &present, &kept), -E2BIG);
	assert_int_equal(changes.n, CHANGES_MAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_new_device_is_set_up_before_it_is_up),
		cmocka_unit_test(what_is_right_is_left_alone),
		cmocka_unit_test(what_a_domain_does_not_name_is_taken_away_first),
		cmocka_unit_test(a_moved_in_uplink_gets_what_the_plan_names),
		cmocka_unit_test(what_the_plan_does_not_name_on_the_uplink_is_roots),
		cmocka_unit_test(pastas_link_is_the_ethernet_device_of_dev_net_tun),
		cmocka_unit_test(a_link_that_only_has_a_domains_name_is_not_touched),
		cmocka_unit_test(a_domain_that_is_gone_leaves_its_device_down_and_bare),
		cmocka_unit_test(routes_to_networks_behind_peers_come_when_the_device_is_up),
		cmocka_unit_test(only_routes_that_differ_are_changed),
		cmocka_unit_test(a_domain_without_routes_loses_those_it_had),
		cmocka_unit_test(more_changes_than_there_is_room_for_are_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
