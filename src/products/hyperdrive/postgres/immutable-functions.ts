/**
 * Names of PostgreSQL's own functions that have an IMMUTABLE form (`pg_proc.provolatile` of version 15, without what only
 * the server itself calls). A query that calls any other function is not cached: functions that users define are VOLATILE
 * unless they say otherwise. `age` is missing on purpose: its form with one argument reads the clock.
 */
export const immutableFunctions: ReadonlySet<string> = new Set(
  `
  abs acos acosd acosh area array_agg array_dims array_fill array_length array_lower array_ndims array_position array_positions
  array_remove array_replace array_to_tsvector array_upper ascii asin asind asinh atan atan2 atan2d atand atanh avg bit bit_and
  bit_count bit_length bit_or bit_xor bool bool_and bool_or bound_box box bpchar broadcast btrim cardinality cbrt ceil
  ceiling center char char_length character_length chr cidr circle corr cos cosd cosh cot cotd count covar_pop covar_samp cume_dist
  date date_bin date_part date_trunc datemultirange daterange decode degrees dense_rank diagonal diameter div encode every exp
  extract factorial family first_value float4 float8 floor gcd generate_series generate_subscripts get_bit get_byte height host
  hostmask inet_merge inet_same_family initcap int2 int4 int4multirange int4range int8 int8multirange int8range interval
  is_normalized isempty isfinite json_array_elements json_array_elements_text json_array_length json_each json_each_text
  json_object json_object_keys json_strip_nulls json_to_tsvector json_typeof jsonb_array_elements jsonb_array_elements_text
  jsonb_array_length jsonb_each jsonb_each_text jsonb_insert jsonb_object jsonb_object_agg jsonb_object_keys jsonb_path_exists
  jsonb_path_match jsonb_path_query jsonb_path_query_array jsonb_path_query_first jsonb_pretty jsonb_set jsonb_set_lax
  jsonb_strip_nulls jsonb_to_tsvector jsonb_typeof justify_days justify_hours justify_interval lag last_value lcm lead left length
  like_escape line ln log log10 lower lower_inc lower_inf lpad lseg ltrim macaddr macaddr8 macaddr8_set7bit make_date make_interval
  make_time make_timestamp masklen max md5 min min_scale mod mode multirange name netmask network normalize npoints nth_value ntile
  num_nonnulls num_nulls numeric nummultirange numnode numrange octet_length oid overlaps overlay parse_ident path percent_rank
  percentile_cont percentile_disc phraseto_tsquery pi plainto_tsquery point polygon position pow power querytree quote_ident
  quote_literal quote_nullable radians radius range_agg range_intersect_agg range_merge rank regexp_count regexp_instr regexp_like
  regexp_match regexp_matches regexp_replace regexp_split_to_array regexp_split_to_table regexp_substr regr_avgx regr_avgy
  regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy repeat replace reverse right round row_number rpad rtrim
  scale set_bit set_byte setweight sha224 sha256 sha384 sha512 sign sin sind sinh split_part sqrt stddev stddev_pop stddev_samp
  string_agg string_to_array string_to_table strip strpos substr substring sum tan tand tanh text time timestamp timestamptz timetz
  timezone to_ascii to_hex to_timestamp to_tsquery to_tsvector translate trim_array trim_scale trunc ts_delete ts_filter
  ts_headline ts_lexize ts_parse ts_rank ts_rank_cd ts_rewrite ts_token_type tsmultirange tsquery_phrase tsrange tstzmultirange
  tstzrange tsvector_to_array unistr unnest upper upper_inc upper_inf var_pop var_samp varbit varchar variance websearch_to_tsquery
  width width_bucket xid xml_is_well_formed_content xml_is_well_formed_document xmlagg xmlcomment xmlexists xpath xpath_exists
  any_value array_reverse array_sort casefold crc32 erf erfc gamma lgamma json_serialize unicode_assigned
`
    .trim()
    .split(/\s+/),
);
