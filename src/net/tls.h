/*
 * tls.h: the two kinds of OpenSSL contexts the program uses.
 *
 * TLS 1.2 and later, no renegotiation, no compression, session tickets as OpenSSL has them. ALPN
 * offers http/1.1 alone.
 */
#ifndef VA_NET_TLS_H
#define VA_NET_TLS_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>

/* A server's context from PEM files. NULL with the reason logged. SSL_CTX_free releases it;
 * connections that use it keep it alive. */
SSL_CTX *tls_server_context(const char *cert_file, const char *key_file);

/* The context of all clients: verifies against the system's store (SSL_CERT_FILE and SSL_CERT_DIR
 * are honoured). Made at first use, never released; NULL with the reason logged. */
SSL_CTX *tls_client_context(void);

/* Prepares ssl to connect to the host: server name, and verification of it. host may be a numeric
 * address. False when out of memory. */
bool tls_expect_host(SSL *ssl, const char *host);

/* Why the last operation on ssl failed, in plain words; text is of at least 128 bytes. */
void tls_describe_error(SSL *ssl, char *text, size_t size);

#endif
