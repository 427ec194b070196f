/* Addresses, prefixes and endpoints: what is taken, what is refused, and that text comes back as it was. */
#include "base/ip.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "base/bytes.h"

static struct ip
ip_of(const char *text)
{
	struct ip ip;

	if (ip_parse(&ip, text) < 0)
		fail_msg("\"%s\" is no address", text);
	return ip;
}

static struct cidr
cidr_of(const char *text)
{
	struct cidr cidr;

	if (cidr_parse(&cidr, text) < 0)
		fail_msg("\"%s\" is no prefix", text);
	return cidr;
}

static void
addresses_come_back_in_canonical_text(void **state)
{
	static const char *const pairs[][2] = {
		{"0.0.0.0", "0.0.0.0"},
		{"255.255.255.255", "255.255.255.255"},
		{"10.82.0.1", "10.82.0.1"},
		{"::", "::"},
		{"2001:DB8:0:0:0::1", "2001:db8::1"},
		{"::ffff:192.0.2.1", "::ffff:192.0.2.1"},
		{"ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
	};
	char text[IP_TEXT_LEN];

	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		const struct ip ip = ip_of(pairs[i][0]);

		ip_text(text, &ip);
		assert_string_equal(text, pairs[i][1]);
	}
	ip_text(text, &(struct ip){0});
	assert_string_equal(text, "(none)");
}

static void
names_octal_and_whatever_stands_around_are_no_address(void **state)
{
	static const char *const bad[] = {
		"",
		" ",
		"localhost",
		"1",
		"1.2.3",
		"1.2.3.4.5",
		"1.2.3.256",
		"01.2.3.4",
		"1.2.3.04",
		"0x1.2.3.4",
		" 1.2.3.4",
		"1.2.3.4 ",
		"1.2.3.4\n",
		"1.2.3.4/32",
		"1..3.4",
		"-1.2.3.4",
		"+1.2.3.4",
		":",
		":::",
		"1::2::3",
		"::1%lo",
		"fe80::1%1",
		"[::1]",
		"12345::",
		"g::",
		"1:2:3:4:5:6:7",
		"1:2:3:4:5:6:7:8:9",
		"::1 ",
		"::1.2.3",
		"1.2.3.4:80",
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct ip ip;

		memset(&ip, 0xa5, sizeof(ip));
		if (ip_parse(&ip, bad[i]) != -EINVAL)
			fail_msg("\"%s\" was taken for an address", bad[i]);
		assert_int_equal(ip.family, 0xa5);
	}
}

static void
addresses_are_equal_by_family_and_the_bytes_that_count(void **state)
{
	struct ip a = ip_of("192.0.2.1"), b = a, c = ip_of("c000:201::");

	b.addr[4] = 9; /* beyond the four that count */
	assert_true(ip_equal(&a, &b));
	b.addr[3]++;
	assert_false(ip_equal(&a, &b));
	assert_memory_equal(a.addr, c.addr, 4);
	assert_false(ip_equal(&a, &c));
	assert_false(ip_equal(&c, &a));
}

static void
prefixes_come_back_with_their_host_bits(void **state)
{
	static const char *const pairs[][2] = {
		{"10.1.2.3/8", "10.1.2.3/8"},
		{"10.1.2.3", "10.1.2.3/32"},
		{"0.0.0.0/0", "0.0.0.0/0"},
		{"::/0", "::/0"},
		{"2001:db8::1", "2001:db8::1/128"},
		{"2001:db8::1/64", "2001:db8::1/64"},
		{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127",
		 "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127"},
	};
	char text[CIDR_TEXT_LEN];

	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		const struct cidr cidr = cidr_of(pairs[i][0]);

		cidr_text(text, &cidr);
		assert_string_equal(text, pairs[i][1]);
	}
}

static void
a_prefix_with_a_wrong_length_is_refused(void **state)
{
	static const char *const bad[] = {
		"10.0.0.0/",
		"10.0.0.0/33",
		"10.0.0.0/-1",
		"10.0.0.0/+1",
		"10.0.0.0/ 8",
		"10.0.0.0/8 ",
		"10.0.0.0/8/8",
		"/8",
		"::/129",
		"::/",
		"10.0.0.0/0x8",
		"10.0.0.0/4294967304",
		"10.0.0.0/18446744073709551624",
		"10.0.0/24",
		"10.0.0.0//8",
		"10.0.0.0/255.0.0.0",
		"11111111111111111111111111111111111111111111111111111111/8",
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct cidr cidr;

		if (cidr_parse(&cidr, bad[i]) != -EINVAL)
			fail_msg("\"%s\" was taken for a prefix", bad[i]);
	}
}

static void
masking_clears_exactly_the_host_bits(void **state)
{
	for (unsigned len = 0; len <= 128; len++) {
		struct cidr cidr = {.ip = {.family = AF_INET6}, .len = (uint8_t)len};

		memset(cidr.ip.addr, 0xff, 16);
		cidr_mask(&cidr);
		for (unsigned bit = 0; bit < 128; bit++)
			assert_int_equal(cidr.ip.addr[bit / 8] >> (7 - bit % 8) & 1, bit < len);
	}
	for (unsigned len = 0; len <= 32; len++) {
		struct cidr cidr = {.ip = {.family = AF_INET}, .len = (uint8_t)len};

		memset(cidr.ip.addr, 0xff, 4);
		cidr_mask(&cidr);
		assert_int_equal(be32_load(cidr.ip.addr), len ? UINT32_MAX << (32 - len) : 0);
	}
}

static void
a_prefix_contains_what_shares_its_bits(void **state)
{
	static const struct {
		const char *cidr, *ip;
		bool contains;
	} cases[] = {
		{"10.0.0.0/8", "10.255.255.255", true},
		{"10.0.0.0/8", "11.0.0.0", false},
		{"10.77.0.0/8", "10.1.1.1", true},
		{"192.0.2.128/25", "192.0.2.127", false},
		{"192.0.2.128/25", "192.0.2.128", true},
		{"0.0.0.0/0", "255.1.2.3", true},
		{"0.0.0.0/0", "::", false},
		{"::/0", "0.0.0.0", false},
		{"192.0.2.1/32", "192.0.2.1", true},
		{"192.0.2.1/32", "192.0.2.0", false},
		{"2001:db8::/33", "2001:db8:8000::", false},
		{"2001:db8::/33", "2001:db8:7fff::1", true},
		{"2001:db8::1/128", "2001:db8::1", true},
		{"2001:db8::1/127", "2001:db8::2", false},
		{"::/96", "10.0.0.1", false},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct cidr cidr = cidr_of(cases[i].cidr);
		const struct ip ip = ip_of(cases[i].ip);

		if (cidr_contains(&cidr, &ip) != cases[i].contains)
			fail_msg("%s and %s", cases[i].cidr, cases[i].ip);
	}
}

static void
prefixes_overlap_when_one_holds_the_other(void **state)
{
	static const struct {
		const char *a, *b;
		bool overlap;
	} cases[] = {
		{"10.0.0.0/8", "10.1.0.0/16", true},    {"10.0.0.0/9", "10.128.0.0/9", false},
		{"0.0.0.0/0", "192.0.2.1", true},       {"0.0.0.0/0", "::/0", false},
		{"2001:db8::/32", "2001:db8::1", true}, {"2001:db8::/32", "2001:db9::/32", false},
		{"10.0.0.7/8", "10.255.0.1/16", true},  {"192.0.2.0/31", "192.0.2.2/31", false},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct cidr a = cidr_of(cases[i].a), b = cidr_of(cases[i].b);

		if (cidr_overlaps(&a, &b) != cases[i].overlap || cidr_overlaps(&b, &a) != cases[i].overlap)
			fail_msg("%s and %s", cases[i].a, cases[i].b);
	}
}

static void
addresses_of_a_prefix_are_counted_from_its_start(void **state)
{
	static const struct {
		const char *cidr;
		uint64_t offset;
		const char *ip; /* NULL: beyond the end */
	} cases[] = {
		{"10.82.0.0/16", 0, "10.82.0.0"},
		{"10.82.9.9/16", 1, "10.82.0.1"},
		{"10.82.0.0/16", 65535, "10.82.255.255"},
		{"10.82.0.0/16", 65536, NULL},
		{"0.0.0.0/0", UINT32_MAX, "255.255.255.255"},
		{"0.0.0.0/0", 1ULL << 32, NULL},
		{"192.0.2.1/32", 0, "192.0.2.1"},
		{"192.0.2.1/32", 1, NULL},
		{"192.0.2.1/31", 1, "192.0.2.1"},
		{"2001:db8::/64", UINT64_MAX, "2001:db8::ffff:ffff:ffff:ffff"},
		{"2001:db8::/65", 1ULL << 63, NULL},
		{"2001:db8::/48", UINT64_MAX, "2001:db8::ffff:ffff:ffff:ffff"},
		{"2001:db8::7/120", 255, "2001:db8::ff"},
		{"::1/128", 1, NULL},
		{"::/0", 258, "::102"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct cidr cidr = cidr_of(cases[i].cidr);
		struct ip ip, expected;
		const int r = cidr_nth(&ip, &cidr, cases[i].offset);

		if (!cases[i].ip) {
			assert_int_equal(r, -ERANGE);
			continue;
		}
		assert_int_equal(r, 0);
		expected = ip_of(cases[i].ip);
		if (!ip_equal(&ip, &expected))
			fail_msg("%s + %llu", cases[i].cidr, (unsigned long long)cases[i].offset);
	}
}

static void
endpoints_come_back_as_they_were(void **state)
{
	static const char *const good[] = {
		"192.0.2.1:51820",     "0.0.0.0:1", "255.255.255.255:65535",
		"[2001:db8::1]:51820", "[::]:1",    "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
	};
	char text[ENDPOINT_TEXT_LEN];

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		struct endpoint endpoint;

		assert_int_equal(endpoint_parse(&endpoint, good[i]), 0);
		endpoint_text(text, &endpoint);
		assert_string_equal(text, good[i]);
	}
}

static void
what_is_no_endpoint_is_refused(void **state)
{
	static const char *const bad[] = {
		"",
		":",
		"192.0.2.1",
		"192.0.2.1:",
		"192.0.2.1:0",
		"192.0.2.1:65536",
		"192.0.2.1:-1",
		"192.0.2.1:+1",
		"192.0.2.1: 1",
		"192.0.2.1:1 ",
		"192.0.2.1:0x1",
		"2001:db8::1:51820",
		"[192.0.2.1]:1",
		"[2001:db8::1]",
		"[2001:db8::1]:",
		"[2001:db8::1]51820",
		"[2001:db8::1:1",
		"2001:db8::1]:1",
		"[]:1",
		"example.net:1",
		"[::1]:1:1",
		"[::1]:65536",
		"[::1]:99999999999999999999",
		"[fe80::1%eth0]:1",
		"192.0.2.1:4294967297",
		"[11111111111111111111111111111111111111111111111111111111]:1",
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct endpoint endpoint;

		if (endpoint_parse(&endpoint, bad[i]) != -EINVAL)
			fail_msg("\"%s\" was taken for an endpoint", bad[i]);
	}
}

static void
socket_addresses_go_both_ways(void **state)
{
	static const char *const good[] = {"192.0.2.1:51820", "[2001:db8::1]:9"};

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		struct endpoint endpoint, again;
		struct sockaddr_storage ss;

		assert_int_equal(endpoint_parse(&endpoint, good[i]), 0);
		assert_int_equal(endpoint_to_sockaddr(&ss, &endpoint),
				 i == 0 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
		assert_int_equal(endpoint_from_sockaddr(&again, (const struct sockaddr *)&ss), 0);
		assert_true(endpoint_equal(&endpoint, &again));
	}
}

static void
a_mapped_address_is_ipv4_and_a_scope_belongs_to_link_local_only(void **state)
{
	struct sockaddr_in6 sin6 = {.sin6_family = AF_INET6, .sin6_port = htons(7), .sin6_scope_id = 3};
	struct endpoint endpoint, expected;

	assert_int_equal(inet_pton(AF_INET6, "::ffff:192.0.2.1", &sin6.sin6_addr), 1);
	assert_int_equal(endpoint_from_sockaddr(&endpoint, (const struct sockaddr *)&sin6), 0);
	assert_int_equal(endpoint_parse(&expected, "192.0.2.1:7"), 0);
	assert_true(endpoint_equal(&endpoint, &expected));

	assert_int_equal(inet_pton(AF_INET6, "fe80::1", &sin6.sin6_addr), 1);
	assert_int_equal(endpoint_from_sockaddr(&endpoint, (const struct sockaddr *)&sin6), 0);
	assert_int_equal(endpoint.scope, 3);
	assert_int_equal(inet_pton(AF_INET6, "2001:db8::1", &sin6.sin6_addr), 1);
	assert_int_equal(endpoint_from_sockaddr(&endpoint, (const struct sockaddr *)&sin6), 0);
	assert_int_equal(endpoint.scope, 0);
}

static void
another_family_is_no_endpoint(void **state)
{
	const struct sockaddr sa = {.sa_family = AF_UNIX};
	struct endpoint endpoint;

	assert_int_equal(endpoint_from_sockaddr(&endpoint, &sa), -EAFNOSUPPORT);
}

static void
endpoints_differ_by_address_port_and_scope(void **state)
{
	struct endpoint a, b;

	assert_int_equal(endpoint_parse(&a, "[fe80::1]:5"), 0);
	b = a;
	assert_true(endpoint_equal(&a, &b));
	b.port = 6;
	assert_false(endpoint_equal(&a, &b));
	b = a;
	b.scope = 1;
	assert_false(endpoint_equal(&a, &b));
	b = a;
	b.ip.addr[15] = 2;
	assert_false(endpoint_equal(&a, &b));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_come_back_in_canonical_text),
		cmocka_unit_test(names_octal_and_whatever_stands_around_are_no_address),
		cmocka_unit_test(addresses_are_equal_by_family_and_the_bytes_that_count),
		cmocka_unit_test(prefixes_come_back_with_their_host_bits),
		cmocka_unit_test(a_prefix_with_a_wrong_length_is_refused),
		cmocka_unit_test(masking_clears_exactly_the_host_bits),
		cmocka_unit_test(a_prefix_contains_what_shares_its_bits),
		cmocka_unit_test(prefixes_overlap_when_one_holds_the_other),
		cmocka_unit_test(addresses_of_a_prefix_are_counted_from_its_start),
		cmocka_unit_test(endpoints_come_back_as_they_were),
		cmocka_unit_test(what_is_no_endpoint_is_refused),
		cmocka_unit_test(socket_addresses_go_both_ways),
		cmocka_unit_test(a_mapped_address_is_ipv4_and_a_scope_belongs_to_link_local_only),
		cmocka_unit_test(another_family_is_no_endpoint),
		cmocka_unit_test(endpoints_differ_by_address_port_and_scope),
	};

	return cmocka_run_group_tests_name("ip", tests, NULL, NULL);
}
