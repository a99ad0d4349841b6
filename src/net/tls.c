/*
 * tls.c: sets up OpenSSL once for servers and once for clients, and puts its errors into words.
 */
#include "net/tls.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "net/log.h"

static void
set_common(SSL_CTX *context)
{
	SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
	SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	/* Output waits in queues of our own, which may move; idle sockets give their buffers back. */
	SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
								  SSL_MODE_RELEASE_BUFFERS);
	/* One recv for a record instead of one for its header and one for its body. */
	SSL_CTX_set_read_ahead(context, 1);
}

static void
last_error(char *text, size_t size)
{
	unsigned long code = ERR_peek_last_error();
	const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;

	snprintf(text, size, "%s", reason != NULL ? reason : "unknown error");
	ERR_clear_error();
}

static int
select_http11(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
			  unsigned in_len, void *arg)
{
	static const unsigned char http11[] = "\x08http/1.1";

	(void) ssl;
	(void) arg;
	if (SSL_select_next_proto((unsigned char **) out, out_len, http11, sizeof(http11) - 1, in,
							  in_len) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_NOACK;
	return SSL_TLSEXT_ERR_OK;
}

SSL_CTX *
tls_server_context(const char *cert_file, const char *key_file)
{
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());
	char reason[128];
	const char *file = cert_file;

	if (context == NULL)
	{
		log_error("out of memory");
		return NULL;
	}
	set_common(context);
	SSL_CTX_set_alpn_select_cb(context, select_http11, NULL);
	if (SSL_CTX_use_certificate_chain_file(context, cert_file) == 1)
	{
		file = key_file;
		if (SSL_CTX_use_PrivateKey_file(context, key_file, SSL_FILETYPE_PEM) == 1 &&
			SSL_CTX_check_private_key(context) == 1)
			return context;
	}
	last_error(reason, sizeof(reason));
	log_write(LOG_LEVEL_WARNING,
			  &(struct log_context){
				  .detail = reason,
				  .hint = "the file must be PEM, readable by the program, and certificate and key "
						  "must belong together"},
			  "cannot use the TLS file \"%s\"", file);
	SSL_CTX_free(context);
	return NULL;
}

SSL_CTX *
tls_client_context(void)
{
	static SSL_CTX *context;
	char reason[128];

	if (context != NULL)
		return context;
	context = SSL_CTX_new(TLS_client_method());
	if (context == NULL)
	{
		log_error("out of memory");
		return NULL;
	}
	set_common(context);
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	if (SSL_CTX_set_default_verify_paths(context) != 1)
	{
		last_error(reason, sizeof(reason));
		log_error("cannot load the system's certificate store: %s", reason);
	}
	return context;
}

bool
tls_expect_host(SSL *ssl, const char *host)
{
	unsigned char address[16];

	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
	return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

void
tls_describe_error(SSL *ssl, char *text, size_t size)
{
	long verdict = SSL_get_verify_result(ssl);

	if (verdict != X509_V_OK)
	{
		snprintf(text, size, "certificate not accepted: %s",
				 X509_verify_cert_error_string(verdict));
		ERR_clear_error();
		return;
	}
	if (ERR_peek_last_error() == 0)
	{
		snprintf(text, size, "connection lost during TLS");
		return;
	}
	snprintf(text, size, "TLS: ");
	last_error(text + 5, size - 5);
}
