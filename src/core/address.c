/*
 * address.c: the special ranges as tables.
 *
 * From IANA's "IPv4 Special-Purpose Address Registry" and "IPv6 Special-Purpose Address Registry". An
 * address that a tenant may not name must not get in through a notation: so IPv6 forms that stand
 * for an IPv4 address are judged by that.
 */
#include "core/address.h"

#include <string.h>

struct range_v4
{
	uint8_t ip[4];
	uint8_t bits;
};

struct range_v6
{
	uint8_t ip[16];
	uint8_t bits;
};

static const struct range_v4 special_v4[] = {
	{{0, 0, 0, 0}, 8}, /* this network */
	{{10, 0, 0, 0}, 8}, /* private */
	{{100, 64, 0, 0}, 10}, /* shared with the provider (CGNAT) */
	{{127, 0, 0, 0}, 8}, /* loopback */
	{{169, 254, 0, 0}, 16}, /* link-local: clouds answer questions about the machine here */
	{{172, 16, 0, 0}, 12}, /* private */
	{{192, 0, 0, 0}, 24}, /* protocol assignments */
	{{192, 0, 2, 0}, 24}, /* documentation */
	{{192, 88, 99, 0}, 24}, /* 6to4 relays */
	{{192, 168, 0, 0}, 16}, /* private */
	{{198, 18, 0, 0}, 15}, /* benchmarks */
	{{198, 51, 100, 0}, 24}, /* documentation */
	{{203, 0, 113, 0}, 24}, /* documentation */
	{{224, 0, 0, 0}, 4}, /* multicast */
	{{240, 0, 0, 0}, 4}, /* reserved, broadcast */
};

/* Behind these many bits an IPv4 address stands in the next 32. */
static const struct range_v6 carriers[] = {
	{{0}, 96}, /* ::a.b.c.d, :: and ::1 among them */
	{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 96}, /* ::ffff:a.b.c.d */
	{{0, 0x64, 0xff, 0x9b}, 96}, /* 64:ff9b::/96, NAT64 */
	{{0x20, 0x02}, 16}, /* 6to4 */
};

static const struct range_v6 special_v6[] = {
	{{0x00, 0x64, 0xff, 0x9b, 0x00, 0x01}, 48}, /* NAT64 for local use */
	{{0x01}, 64}, /* discard only */
	{{0x20, 0x01, 0x00, 0x00}, 23}, /* protocol assignments, Teredo */
	{{0x20, 0x01, 0x0d, 0xb8}, 32}, /* documentation */
	{{0x3f, 0xff, 0x00}, 20}, /* documentation */
	{{0x5f, 0x00}, 16}, /* segment routing */
	{{0xfc}, 7}, /* unique local */
	{{0xfe, 0x80}, 10}, /* link-local */
	{{0xfe, 0xc0}, 10}, /* site-local, of old */
	{{0xff}, 8}, /* multicast */
};

static bool
begins_with(const uint8_t *ip, const uint8_t *start, unsigned bits)
{
	unsigned bytes = bits / 8;
	unsigned rest = bits % 8;

	if (memcmp(ip, start, bytes) != 0)
		return false;
	return rest == 0 || (ip[bytes] >> (8 - rest)) == (start[bytes] >> (8 - rest));
}

bool
address_is_public_v4(const uint8_t ip[4])
{
	for (size_t i = 0; i < sizeof(special_v4) / sizeof(special_v4[0]); i++)
	{
		if (begins_with(ip, special_v4[i].ip, special_v4[i].bits))
			return false;
	}
	return true;
}

bool
address_is_public_v6(const uint8_t ip[16])
{
	for (size_t i = 0; i < sizeof(carriers) / sizeof(carriers[0]); i++)
	{
		if (begins_with(ip, carriers[i].ip, carriers[i].bits))
			return address_is_public_v4(ip + carriers[i].bits / 8);
	}
	for (size_t i = 0; i < sizeof(special_v6) / sizeof(special_v6[0]); i++)
	{
		if (begins_with(ip, special_v6[i].ip, special_v6[i].bits))
			return false;
	}
	return true;
}
