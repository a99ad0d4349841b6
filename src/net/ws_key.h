/*
 * ws_key.h: the key of a WebSocket handshake and the answer that proves it was understood
 * (RFC 6455, sections 4.1 and 4.2.2).
 */
#ifndef VA_NET_WS_KEY_H
#define VA_NET_WS_KEY_H

#include <stdbool.h>

#define WS_KEY_LEN 24 /* 16 random bytes in base64 */
#define WS_ACCEPT_LEN 28 /* a SHA-1 in base64 */

/* Fills key (WS_KEY_LEN + 1 bytes). False when the system has no random bytes. */
bool ws_key_make(char *key);
/* Whether a client's key has the form of one. */
bool ws_key_valid(const char *key);
/* Fills accept (WS_ACCEPT_LEN + 1 bytes) with the answer to key. */
void ws_key_accept(const char *key, char *accept);

#endif
