/**
 * A table with a column for each kind of type, and in it the values at which formats break.
 */
import { Effect } from "effect"
import type { Observer } from "../../support/Pg.ts"

/** By type: values as the server reads them. */
export const extremes: Readonly<Record<string, ReadonlyArray<string>>> = {
  bool: ["t", "f"],
  int2: ["-32768", "32767", "0"],
  int4: ["-2147483648", "2147483647", "-1"],
  int8: [
    "-9223372036854775808",
    "9223372036854775807",
    "9007199254740991",
    "9007199254740992",
    "-9007199254740991",
    "-9007199254740993",
    "999999999999999",
    "1000000000000000",
    "0"
  ],
  oid: ["4294967295", "0"],
  float4: ["NaN", "Infinity", "-Infinity", "-0", "1e-45", "1.17549435e-38", "3.4028235e+38", "0.1", "16777217", "-1.5"],
  float8: [
    "NaN",
    "Infinity",
    "-Infinity",
    "-0",
    "5e-324",
    "2.2250738585072014e-308",
    "1.7976931348623157e+308",
    "0.1",
    "0.30000000000000004",
    "123456789012345680",
    "9007199254740993",
    "1e22",
    "1e23",
    "-1.5e-7"
  ],
  numeric: [
    "NaN",
    "Infinity",
    "-Infinity",
    "0",
    "0.000",
    "-0.5",
    "123456789012345",
    "1234567890123456",
    "0.123456789012345",
    "0.1234567890123456",
    "9".repeat(1000),
    `-0.${"0".repeat(400)}1`,
    `${"1234567890".repeat(50)}.${"0123456789".repeat(50)}`
  ],
  "numeric(5, 2)": ["NaN", "999.99", "-999.99", "0.01", "0", "-0.01"],
  "numeric(9)": ["999999999", "-999999999"],
  "numeric(18, 6)": ["999999999999.999999", "-999999999999.999999", "0.000001", "-1"],
  "numeric(38, 10)": [
    `${"9".repeat(28)}.${"9".repeat(10)}`,
    `-${"9".repeat(28)}.${"9".repeat(10)}`,
    "0.0000000001",
    "-1"
  ],
  "numeric(3, -2)": ["12300", "-99900"],
  "numeric(2, 4)": ["0.0099", "-0.0012"],
  "numeric(60, 30)": [`${"9".repeat(30)}.${"9".repeat(30)}`],
  money: ["-92233720368547758.08", "92233720368547758.07", "1234.5"],
  text: [
    "",
    " ",
    "NULL",
    "null",
    "\\N",
    "\\.",
    "\\",
    '"',
    '""',
    ",",
    ";",
    "\t",
    "a,b",
    'say "yes"',
    "'quoted'",
    "\n",
    "\r",
    "\r\n",
    "a\nb",
    "\\.\n",
    "a\n\\.\nb",
    "\ufeff",
    "\ufeffa",
    "\u0001\u0002\b\f\u001b\u007f\u0085",
    "\u2028\u2029",
    "é",
    "漢字",
    "👩‍👩‍👧‍👦",
    "=1+1",
    "+1",
    "-1",
    "@sum",
    " leading and trailing ",
    "x".repeat(79),
    "x".repeat(80),
    "x".repeat(81),
    `${"x".repeat(100)}"${"y".repeat(100)}`,
    `${"long ".repeat(2000)}\u0001`,
    "\u0001".repeat(6000)
  ],
  varchar: ["", "varying"],
  "char(5)": ["", "ab", '"', "a,b"],
  '"char"': ["x", ",", '"'],
  name: ["a name", ""],
  bytea: ["", "\\x00ff41", "\\x5c2e", `\\x${"00ff".repeat(3000)}`],
  date: [
    "4713-01-01 BC",
    "0044-03-15 BC",
    "0001-12-31 BC",
    "0001-01-01",
    "1969-12-31",
    "1970-01-01",
    "2000-02-29",
    "5874897-12-31",
    "infinity",
    "-infinity"
  ],
  time: ["00:00:00", "23:59:59.999999", "24:00:00", "12:30:00.1"],
  timetz: ["00:00:00+15:59:59", "23:59:59.999999-15:59:59", "12:00:00.5+05:30"],
  timestamp: [
    "4713-01-01 00:00:00 BC",
    "0044-03-15 12:34:56.789012 BC",
    "0001-01-01 00:00:00",
    "1683-01-01 00:00:00.000001",
    "1969-12-31 23:59:59.999999",
    "1970-01-01 00:00:00",
    "2024-02-29 12:34:56.123456",
    "2262-04-12 00:00:00",
    "9999-12-31 23:59:59.999999",
    "294246-12-31 23:59:59.999999",
    "294276-12-31 23:59:59.999999",
    "infinity",
    "-infinity"
  ],
  timestamptz: [
    "4713-01-02 00:00:00+00 BC",
    "0044-03-15 12:34:56.789012+00 BC",
    "1850-01-01 00:00:00.000001+00",
    "1969-12-31 23:59:59.999999+00",
    "1970-01-01 00:00:00+00",
    "2000-01-01 00:00:00.000001+00",
    "2024-06-30 12:34:56.123456+00",
    "294246-12-31 00:00:00.999999+00",
    "infinity",
    "-infinity"
  ],
  interval: ["1 year 2 mons -3 days 04:05:06.789", "-178000000 years", "00:00:00", "00:00:00.000001", "-1 days"],
  json: [
    '{"a": [1, null],\n  "b":\r\n 2}',
    "null",
    '"text"',
    "12345678901234567890.5",
    "[]",
    '{"a":1,"a":2}',
    '"\\u0000\\n,"',
    "  1  "
  ],
  jsonb: ['{"a": [1, null], "b": "x\\ny,\\""}', "null", '"a"', "1.50", "1e400", '{"":""}'],
  jsonpath: ['$."a"[*] ? (@ > 1)'],
  xml: ["<a>b</a>", '<a b="c">\n,</a>', ""],
  uuid: [
    "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "123e4567-e89b-12d3-a456-426614174000"
  ],
  inet: ["192.168.0.1/24", "::1", "::ffff:1.2.3.0/120"],
  cidr: ["10.0.0.0/8", "2001:db8::/32"],
  macaddr: ["08:00:2b:01:02:03"],
  macaddr8: ["08:00:2b:01:02:03:04:05"],
  "bit(3)": ["101", "000"],
  varbit: ["", "10101"],
  tsvector: ["'a':1A 'b,c':2 '\"':3", ""],
  tsquery: ["'a' & ( 'b' | !'c' )"],
  point: ["(1.5,-2)", "(1e+300,NaN)"],
  line: ["{1,2,3}"],
  lseg: ["[(0,0),(1,1)]"],
  box: ["(1,1),(0,0)"],
  path: ["((0,0),(1,1))", "[(0,0),(1,1)]"],
  polygon: ["((0,0),(1,1),(1,0))"],
  circle: ["<(0,0),2>"],
  pg_lsn: ["16/B374D848"],
  xid8: ["18446744073709551615"],
  regclass: ["pg_class", "0"],
  regtype: ["integer", "timestamp with time zone"],
  int4range: ["[1,3)", "empty", "(,)"],
  numrange: ["[1.5,)", "(,2.50]"],
  tstzrange: ['["2000-01-01 00:00:00+00",infinity)'],
  int4multirange: ["{}", "{[1,3),[5,7)}"],
  "bool[]": ["{t,f,NULL}", "{}"],
  "int2[]": ["{1,-32768}"],
  "int4[]": ["{}", "{{1,NULL},{3,4}}", "[0:1]={1,2}", "{NULL}"],
  "int8[]": ["{9223372036854775807,1,-9007199254740993}"],
  "numeric[]": ["{NaN,1.50,12345678901234567890}"],
  "float8[]": ["{NaN,-0,Infinity,1e+300}"],
  "text[]": [
    '{"NULL",NULL,"null","",a,"a,b","{}","a\\"b","c\\\\d"," ","\n","\t","👍"}',
    "{{{a},{b}},{{c},{d}}}",
    '{"\\\\.","\\"\\"","\\\\\\""}',
    "{\u0001,\u007f}"
  ],
  "varchar[]": ["{a}"],
  "bytea[]": ['{"\\\\x00ff",NULL}'],
  "date[]": ["{2000-01-01,infinity,NULL}"],
  "timestamptz[]": ['{"2000-01-01 00:00:00+00"}'],
  "interval[]": ['{"1 day",00:00:01}'],
  "uuid[]": ["{123e4567-e89b-12d3-a456-426614174000}"],
  "json[]": ['{"{\\"a\\": [1,\n2]}","null",NULL}'],
  "jsonb[]": ['{"{\\"a\\": \\"b,}\\"}","1.50"}'],
  "inet[]": ["{::1,10.0.0.0/8}"],
  "oid[]": ["{4294967295}"],
  "money[]": ['{"$1,234.50"}'],
  "int4range[]": ['{"[1,3)",empty}'],
  "box[]": ["{(1,1),(0,0);(2,2),(0,0)}"],
  mood: ["good", "so, so", 'say "no"'],
  "mood[]": ['{good,"so, so",NULL}'],
  small: ["3", "-9"],
  "small[]": ["{1,NULL}"],
  words: ['{a,"b c"}'],
  pair: ['(1,"x ""y"", z")', "(,)", '(,"")'],
  "pair[]": ['{"(1,a)",NULL}']
}

/** Names that formats have to quote. */
const oddNames = [
  'with "quotes"',
  "with, comma",
  "with\nnewline",
  "👍 emoji",
  "\\.",
  "\ufeffbom",
  "=formula",
  "é",
  "__proto__",
  "a.b"
]

const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`
export const identifier = (text: string): string => `"${text.replaceAll('"', '""')}"`

/** The columns of the table, by the type that each one has. */
const columnsOf = (types: ReadonlyArray<string>): ReadonlyArray<{ readonly name: string; readonly type: string }> =>
  types.map((type, index) => ({ name: oddNames[index] ?? `c ${type}`, type }))

/**
 * Creates a table `name` with a column for each type. A column repeats its values, with a NULL behind the last, so that
 * each stands beside various values of others.
 */
export const createTable = (observer: Observer, name: string, types: Readonly<Record<string, ReadonlyArray<string>>>) =>
  Effect.gen(function* () {
    const columns = columnsOf(Object.keys(types))
    const count = Math.max(...Object.values(types).map((values) => values.length + 1))
    yield* observer.rows(
      `create table ${name} (n int, ${columns.map((column) => `${identifier(column.name)} ${column.type}`).join(", ")})`
    )
    for (let row = 0; row < count; row++) {
      const values = columns.map(({ type }) => {
        const all = types[type] ?? []
        const value = all[row % (all.length + 1)]
        return value === undefined ? "null" : `${literal(value)}::${type}`
      })
      yield* observer.rows(`insert into ${name} values (${row}, ${values.join(", ")})`)
    }
    return { columns, count }
  })

/** The types of a user that `extremes` has values of. */
export const createTypes = (observer: Observer) =>
  Effect.gen(function* () {
    yield* observer.rows(`create type mood as enum ('good', 'so, so', 'say "no"')`)
    yield* observer.rows("create domain small as int check (value < 10)")
    yield* observer.rows("create domain words as text[]")
    yield* observer.rows("create type pair as (a int, b text)")
  })
