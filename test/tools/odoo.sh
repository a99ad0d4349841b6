#!/bin/bash
# odoo.sh: tenants with an Odoo of the stand-in's, for the flows about Odoo; after cluster.sh, tap.sh and providers.sh.
#
#   odoo_start                         outbox_start with a gateway, short time-outs and patient breakers
#   tenant NAME PATH SETTINGS [KEY]    sets $tenant, once its connection is checked
#   odoo_reference_field               gives Odoo's leads a field for our id, as a REST gateway wants it
#   connection                         its state, transport, version and error code
#   lead NAME                          a lead; prints its id
#   status LEAD                        its odoo_sync_status and odoo_sync_error
#   made MODEL NAME                    how many records of this name the stand-in has made
#   quiet                              is everything of the tenant's done? (What waits for its time is done at once.)

odoo_start()
{
  outbox_start voiceagent.allow_private_urls=on voiceagent.gateway_workers=1 || return 1
  va_psql -c "UPDATE outbox_kinds SET timeout_ms = 4000 WHERE kind LIKE 'odoo.%'" \
    -c "INSERT INTO settings (name, value) VALUES ('outbox_limits', '{\"odoo\": {\"breaker_failures\": 1000}}')"
}

row()
{
  va_psql -c "$1"
}

# tenant NAME PATH SETTINGS [KEY]: one with an Odoo at this path of the stand-in; waits for its check.
tenant()
{
  tenant=$(row "SELECT va_tenant_create('$1', 'general', NULL, settings => jsonb_build_object('odoo', jsonb_build_object('url', '$PROVIDERS_URL/odoo$2',
    'database', 'sandbox', 'login', 'bot@example.test', 'pull_minutes', 0) || '$3'))")
  [ "${4:-sandbox-key}" = none ] || row "SELECT va_secret_set('$tenant', 'odoo_api_key', '${4:-sandbox-key}')"
  [ -n "$tenant" ] || { ok 'a tenant is made' false; done_testing; exit 1; }
  va_wait_for "SELECT state <> 'unchecked' AND NOT EXISTS (SELECT FROM outbox WHERE tenant_id = '$tenant' AND kind = 'odoo.check')
    FROM odoo_connections WHERE tenant_id = '$tenant'" 20
}

connection()
{
  row "SELECT concat_ws(' ', state, transport, version, error ->> 'code') FROM odoo_connections WHERE tenant_id = '$tenant'"
}

# what happens is not to be waited for: effects that are due later, and looks at unknown outcomes, are due now
hurry()
{
  row "UPDATE outbox SET run_at = now() WHERE tenant_id = '$tenant' AND state IN ('later', 'unknown') AND kind LIKE 'odoo.%'
    AND coalesce(last_error ->> 'code', '') NOT IN ('rate_limited')"
}

quiet()
{
  hurry
  va_is_true "SELECT NOT EXISTS (SELECT FROM outbox WHERE tenant_id = '$tenant')"
}

lead()
{
  # A number of its own for each, so that no two are one person.
  local phone=$((1000 + $(row 'SELECT count(*) FROM leads')))
  row "SELECT va_lead_capture('$tenant', '{\"name\": \"$1\", \"email\": \"${1// /.}@example.test\", \"phone\": \"+1202555$phone\", \"tags\": [\"vip\"]}')"
}

status()
{
  row "SELECT odoo_sync_status, coalesce(odoo_sync_error, '') FROM leads WHERE id = '$1'"
}

# made MODEL NAME: how many records of this name the stand-in has made
made()
{
  grep -F "\"event\":\"created\"" "$PROVIDERS_LEDGER" | grep -F "\"id\":\"$1/" | grep -cF "\"what\":\"$2\""
}

odoo_reference_field()
{
  curl -sS -o /dev/null "$PROVIDERS_URL/odoo/json/2/ir.model.fields/create" -H 'Authorization: Bearer sandbox-key' -H 'Content-Type: application/json' \
    -d '{"vals_list": [{"name": "x_va_reference", "ttype": "char"}]}'
}
