-- Leads: one person, one row a tenant, whichever channel they come by.

-- Finds the lead by its row, its phone or its e-mail address, and merges what is known now: a name or
-- company that is given replaces the older one, phone and e-mail fill what is empty, JSON objects are
-- merged key by key, tags are united. Unknown keys go into custom_fields. The advisory locks keep
-- two captures of one person from becoming two rows.
CREATE FUNCTION @extschema@.va_lead_upsert(p_tenant uuid, p_data jsonb, p_source text,
										   p_lead uuid DEFAULT NULL, p_call uuid DEFAULT NULL)
	RETURNS uuid
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_phone text := @extschema@.va_phone_normalize(@extschema@.va_filled(p_data ->> 'phone'));
	v_email text := lower(@extschema@.va_filled(p_data ->> 'email'));
	v_name text := @extschema@.va_filled(p_data ->> 'name');
	v_first text := @extschema@.va_filled(p_data ->> 'first_name');
	v_last text := @extschema@.va_filled(p_data ->> 'last_name');
	v_company text := @extschema@.va_filled(coalesce(p_data ->> 'company_name', p_data ->> 'company'));
	v_custom jsonb;
	v_tags text[];
	v_id uuid;
	v_new boolean := false;
BEGIN
	IF v_email IS NOT NULL AND v_email !~ '^[^@[:space:]]+@[^@[:space:]]+\.[^@[:space:]]+$' THEN
		RAISE EXCEPTION 'not an e-mail address' USING ERRCODE = 'VA005';
	END IF;
	IF v_name IS NOT NULL AND v_first IS NULL AND v_last IS NULL THEN
		v_first := split_part(v_name, ' ', 1);
		v_last := @extschema@.va_filled(substr(v_name, length(v_first) + 1));
	END IF;
	v_custom := (p_data - ARRAY['phone', 'email', 'name', 'first_name', 'last_name', 'company_name',
		'company', 'tags', 'qualification_data', 'custom_fields', 'utm_source', 'utm_campaign', 'source',
		'source_phone_number'])
		|| CASE WHEN jsonb_typeof(p_data -> 'custom_fields') = 'object'
				THEN p_data -> 'custom_fields' ELSE '{}' END;
	IF jsonb_typeof(p_data -> 'tags') = 'array' THEN
		v_tags := ARRAY(SELECT jsonb_array_elements_text(p_data -> 'tags'));
	END IF;

	PERFORM pg_advisory_xact_lock(k) FROM (
		SELECT hashtextextended(p_tenant::text || x, 5604561) AS k
		FROM unnest(ARRAY[v_phone, v_email]) x WHERE x IS NOT NULL ORDER BY 1) AS keys;

	SELECT l.id INTO v_id FROM @extschema@.leads l
	WHERE l.tenant_id = p_tenant
	  AND (l.id = p_lead OR l.phone = v_phone OR lower(l.email) = v_email)
	ORDER BY (l.id = p_lead) IS TRUE DESC, (l.phone = v_phone) IS TRUE DESC, l.created_at, l.id
	LIMIT 1 FOR NO KEY UPDATE;

	IF v_id IS NULL THEN
		v_new := true;
		INSERT INTO @extschema@.leads (tenant_id, source) VALUES (p_tenant, left(p_source, 50))
		RETURNING id INTO v_id;
	END IF;
	UPDATE @extschema@.leads l SET
		first_name = coalesce(left(v_first, 100), l.first_name),
		last_name = coalesce(left(v_last, 100), l.last_name),
		phone = coalesce(l.phone, v_phone),
		email = coalesce(l.email, left(v_email, 255)),
		company_name = coalesce(left(v_company, 255), l.company_name),
		source = coalesce(l.source, left(p_source, 50)),
		source_phone_number = coalesce(l.source_phone_number, left(p_data ->> 'source_phone_number', 20)),
		utm_source = coalesce(l.utm_source, left(p_data ->> 'utm_source', 100)),
		utm_campaign = coalesce(l.utm_campaign, left(p_data ->> 'utm_campaign', 100)),
		qualification_data = coalesce(l.qualification_data, '{}')
			|| CASE WHEN jsonb_typeof(p_data -> 'qualification_data') = 'object'
					THEN p_data -> 'qualification_data' ELSE '{}' END,
		custom_fields = coalesce(l.custom_fields, '{}') || v_custom,
		tags = CASE WHEN v_tags IS NULL THEN l.tags
					ELSE (SELECT array_agg(DISTINCT x ORDER BY x) FROM unnest(l.tags || v_tags) x) END
	WHERE l.id = v_id;
	PERFORM @extschema@.va_emit(p_tenant, CASE WHEN v_new THEN 'lead_captured' ELSE 'lead_updated' END,
								p_call, v_id, jsonb_build_object('source', p_source));
	RETURN v_id;
END
$$;

CREATE FUNCTION @extschema@.va_lead_capture(tenant uuid, data jsonb, source text DEFAULT NULL) RETURNS uuid
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
BEGIN
	PERFORM @extschema@.va_assert_tenant(tenant);
	IF jsonb_typeof(data) IS DISTINCT FROM 'object' THEN
		RAISE EXCEPTION 'the lead''s data must be a JSON object' USING ERRCODE = 'VA005';
	END IF;
	RETURN @extschema@.va_lead_upsert(tenant, data,
		coalesce(source, @extschema@.va_filled(data ->> 'source'), 'web'));
END
$$;
