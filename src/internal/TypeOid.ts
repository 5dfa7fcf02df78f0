/**
 * The OIDs of types that are more than text to somebody. They are the same in every PostgreSQL: `pg_type.dat` assigns
 * them by hand, and they never change.
 *
 * @internal
 */

/** @internal */
export const TypeOid = {
  bool: 16,
  bytea: 17,
  name: 19,
  int8: 20,
  int2: 21,
  int4: 23,
  text: 25,
  oid: 26,
  json: 114,
  cidr: 650,
  float4: 700,
  float8: 701,
  inet: 869,
  bpchar: 1042,
  varchar: 1043,
  date: 1082,
  time: 1083,
  timestamp: 1114,
  timestamptz: 1184,
  interval: 1186,
  timetz: 1266,
  numeric: 1700,
  regclass: 2205,
  uuid: 2950,
  jsonb: 3802
} as const

/**
 * The element's type of the array types that become arrays in JSON; others, those of enums among them, stay text.
 *
 * @internal
 */
export const elementOf: ReadonlyMap<number, number> = new Map<number, number>([
  [1000, TypeOid.bool],
  [1001, TypeOid.bytea],
  [1003, TypeOid.name],
  [1005, TypeOid.int2],
  [1007, TypeOid.int4],
  [1009, TypeOid.text],
  [1014, TypeOid.bpchar],
  [1015, TypeOid.varchar],
  [1016, TypeOid.int8],
  [1021, TypeOid.float4],
  [1022, TypeOid.float8],
  [1028, TypeOid.oid],
  [1041, TypeOid.inet],
  [1115, TypeOid.timestamp],
  [1182, TypeOid.date],
  [1183, TypeOid.time],
  [1185, TypeOid.timestamptz],
  [1187, TypeOid.interval],
  [1231, TypeOid.numeric],
  [1270, TypeOid.timetz],
  [199, TypeOid.json],
  [2210, TypeOid.regclass],
  [2951, TypeOid.uuid],
  [3807, TypeOid.jsonb],
  [651, TypeOid.cidr]
])
