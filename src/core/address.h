/*
 * address.h: which IP addresses belong to everybody, and which to this machine or its network.
 */
#ifndef VA_CORE_ADDRESS_H
#define VA_CORE_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>

/* Four or sixteen bytes, the first one first. False for everything that the IANA registries of special
 * purpose addresses (RFC 6890 and its successors) do not call globally reachable: loopback,
 * link-local, private, shared, reserved, multicast; and for IPv6 addresses that carry such an IPv4
 * address inside (mapped, NAT64, 6to4). */
bool address_is_public_v4(const uint8_t ip[4]);
bool address_is_public_v6(const uint8_t ip[16]);

#endif
