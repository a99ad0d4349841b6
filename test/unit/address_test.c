/*
 * address_test.c: the first and last address of every special range, and their neighbours outside.
 */
#include "core/address.h"

#include <arpa/inet.h>

#include "tap.h"

static bool
is_public(const char *text)
{
	uint8_t ip[16];

	if (inet_pton(AF_INET, text, ip) == 1)
		return address_is_public_v4(ip);
	if (inet_pton(AF_INET6, text, ip) != 1)
		abort(); /* a mistake in this test */
	return address_is_public_v6(ip);
}

int
main(void)
{
	static const char *const special[] = {
		"0.0.0.0",
		"0.255.255.255",
		"10.0.0.0",
		"10.255.255.255",
		"100.64.0.0",
		"100.127.255.255",
		"127.0.0.1",
		"127.255.255.255",
		"169.254.0.0",
		"169.254.169.254",
		"172.16.0.0",
		"172.31.255.255",
		"192.0.0.0",
		"192.0.2.1",
		"192.168.0.0",
		"192.168.255.255",
		"198.18.0.0",
		"198.19.255.255",
		"198.51.100.9",
		"203.0.113.9",
		"224.0.0.1",
		"239.255.255.255",
		"240.0.0.0",
		"255.255.255.255",
		"::",
		"::1",
		"::ffff:127.0.0.1",
		"::ffff:10.1.2.3",
		"::10.0.0.1",
		"64:ff9b::7f00:1",
		"64:ff9b::a00:1",
		"2002:7f00:1::",
		"2002:c0a8:101::1",
		"64:ff9b:1::1",
		"100::1",
		"2001::1",
		"2001:db8::1",
		"fc00::1",
		"fdff:ffff::1",
		"fe80::1",
		"febf::1",
		"fec0::1",
		"ff02::1",
		"5f00::1",
		"3fff::1",
	};
	static const char *const common[] = {
		"1.1.1.1",		   "9.255.255.255",	  "11.0.0.0",		"100.63.255.255",
		"100.128.0.0",	   "126.255.255.255", "128.0.0.0",		"169.253.255.255",
		"169.255.0.0",	   "172.15.255.255",  "172.32.0.0",		"192.0.1.1",
		"192.167.255.255", "192.169.0.0",	  "198.17.255.255", "198.20.0.0",
		"203.0.112.255",   "223.255.255.255", "::ffff:8.8.8.8", "64:ff9b::808:808",
		"2002:808:808::1", "2606:4700::1111", "2a00:1450::1",	"fbff::1",
		"2001:4860::8888",
	};

	plan(0);
	for (size_t i = 0; i < sizeof(special) / sizeof(special[0]); i++)
		ok(!is_public(special[i]), "%s is not for everybody", special[i]);
	for (size_t i = 0; i < sizeof(common) / sizeof(common[0]); i++)
		ok(is_public(common[i]), "%s is", common[i]);
	return done();
}
