import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { splitPieces, splitStatements } from "../../../src/cli/SqlSplitter.ts"

const textsOf = (text: string): ReadonlyArray<string> =>
  Result.getOrThrow(splitStatements(text)).map((statement) => statement.text)

const messageOf = (text: string): string => {
  const split = splitStatements(text, "a.sql")
  return Result.isFailure(split) ? split.failure.message : "no error"
}

describe("splits at a semicolon", () => {
  const cases: ReadonlyArray<readonly [what: string, text: string, statements: ReadonlyArray<string>]> = [
    ["and takes the last statement without one", "select 1; select 2", ["select 1", "select 2"]],
    ["and drops statements of white space and comments", " ;; -- a\n ; /* b */ ; select 1 ;\f\v", ["select 1"]],
    ["and finds nothing in nothing", "", []],
    ["behind a comment that ends with the text", "select 1 -- a; b", ["select 1"]],
    ["and ends a line comment at LF, CR and CRLF", "-- a;\nb; -- c;\rd; -- e;\r\nf", ["b", "d", "f"]],
    ["and keeps line comments inside of a statement", "a -- ; b\n c; -- d", ["a -- ; b\n c"]],
    [
      "and keeps block comments around a statement",
      "/*+ hint */ a /* trace */ ; b",
      ["/*+ hint */ a /* trace */", "b"]
    ],

    ["but not in a string", "select ';', 'it''s;', ''';'; b", ["select ';', 'it''s;', ''';'", "b"]],
    ["behind a string that ends with a backslash", "select '\\'; b", ["select '\\'", "b"]],
    ["but not in a string with an escaped quote", "select E'\\';', e'\\\\'; b", ["select E'\\';', e'\\\\'", "b"]],
    [
      "but not in the continuation of an escape string",
      "select E'a' -- c\n '\\';'; b",
      ["select E'a' -- c\n '\\';'", "b"]
    ],
    ["where a string on the same line continues no other", "select E'a' '\\'; b", ["select E'a' '\\'", "b"]],
    ["where another token comes before the next string", "select E'a',\n '\\'; b", ["select E'a',\n '\\'", "b"]],
    ["and takes e at the end of a word as part of it", "select else'\\'; b", ["select else'\\'", "b"]],
    [
      "but not in other kinds of strings",
      "B'0;1' X';' N';' U&'\\00e9;' UESCAPE '!'; b",
      ["B'0;1' X';' N';' U&'\\00e9;' UESCAPE '!'", "b"]
    ],
    [
      "but not in a quoted identifier",
      `select "a;""b;", U&"d\\0061t;", "'"; b`,
      [`select "a;""b;", U&"d\\0061t;", "'"`, "b"]
    ],

    ["but not in a dollar quote", "do $$ a; '\" $ $1 /* $$; b", ["do $$ a; '\" $ $1 /* $$", "b"]],
    ["but not in a tagged one, with others inside", "do $f$ a; $$ ; $g$ $f $f$; b", ["do $f$ a; $$ ; $g$ $f $f$", "b"]],
    ["and sees a closing tag that shares its first $", "do $a$ x$b$a$; b", ["do $a$ x$b$a$", "b"]],
    ["but not in a tag of letters beyond ASCII", "do $é_1$ ; $é_1$; b", ["do $é_1$ ; $é_1$", "b"]],
    [
      "and takes $ inside of a word as part of it",
      "select a$1$; b$$; c$d$; é$$; _$$",
      ["select a$1$", "b$$", "c$d$", "é$$", "_$$"]
    ],
    ["and takes $1 as a parameter", "select $1; select $2$3; $1$$;$$; b", ["select $1", "select $2$3", "$1$$;$$", "b"]],
    ["and takes a lone $ as a symbol", "select $; select $a b$; c", ["select $", "select $a b$", "c"]],
    [
      "but not in a dollar quote right behind a number",
      "select 1$$;$$, 1.5$a$;$a$; b",
      ["select 1$$;$$, 1.5$a$;$a$", "b"]
    ],
    [
      "and sees no dollar quote in the letters behind a number",
      "1a$b$; 0x1F$$; 1e5$a$; $1e$$; b",
      ["1a$b$", "0x1F$$", "1e5$a$", "$1e$$", "b"]
    ],
    ["but not in a dollar quote that begins with $", "do $$$ ; $$; b", ["do $$$ ; $$", "b"]],

    ["but not in nested comments", "a /* ; /* ; */ ' ; */ b; c", ["a /* ; /* ; */ ' ; */ b", "c"]],
    [
      "and sees comments of stars and slashes",
      "a /**/; b /*/ ; */; c /***/; d /*/*/ ; **/*/",
      ["a /**/", "b /*/ ; */", "c /***/", "d /*/*/ ; **/*/"]
    ],
    [
      "and sees a comment behind an operator",
      "a +-- ; \n b; c */* ; */ d; e @-/* ; */ f",
      ["a +-- ; \n b", "c */* ; */ d", "e @-/* ; */ f"]
    ],
    ["and takes a lone */, - and / as operators", "a */ b; c - - d; e / * f", ["a */ b", "c - - d", "e / * f"]],

    [
      "but not in parentheses",
      "create rule r as on insert to t do (a; b (c;)); d",
      ["create rule r as on insert to t do (a; b (c;))", "d"]
    ],
    ["and ignores a ) without a (", "a ); b; (c", ["a )", "b", "(c"]],
    ["and ignores parentheses in quotes", "a '(' \"(\" $$($$ /*(*/ --(\n; b", ["a '(' \"(\" $$($$ /*(*/", "b"]]
  ]
  it.each(cases)("%s", (_, text, statements) => assert.deepStrictEqual(textsOf(text), statements))
})

describe("keeps the body of a function together", () => {
  const whole: ReadonlyArray<readonly [what: string, statement: string]> = [
    ["of a function", "create function f() returns int begin atomic; select 1; select 2; end"],
    ["of a procedure", "CREATE PROCEDURE p(begin int) LANGUAGE SQL BEGIN /* a */ ATOMIC insert into t values (1); END"],
    ["that replaces another", "create or replace function f() returns int begin atomic select 1; end"],
    ["that replaces a procedure", "create or replace procedure p() begin atomic select 1; end"],
    ["with CASE … END", "create function f() returns int begin atomic select case when a then 1. end; select 2; end"],
    [
      "with CASE inside of CASE",
      "create function f() returns int begin atomic select case case a when 1 then 2 end when 2 then 3 end; end"
    ],
    ["with CASE in parentheses", "create function f() returns int begin atomic select (case when a then 1 end); end"],
    [
      "with an unquoted label in parentheses",
      "create function f() returns int begin atomic select (select 1 end); select 2; end"
    ],
    [
      "with columns named as keywords",
      "create function f(t) returns int begin atomic select t.end, $1.end, 1 as end, 2 as case; select 3; end"
    ]
  ]
  it.each(whole)("%s", (_, statement) => assert.deepStrictEqual(textsOf(`a; ${statement}; b`), ["a", statement, "b"]))

  const split: ReadonlyArray<readonly [what: string, text: string, statements: ReadonlyArray<string>]> = [
    ["but splits behind a column named case", "select 1 case; b", ["select 1 case", "b"]],
    ["but splits a transaction", "begin; select 1; end; select 2", ["begin", "select 1", "end", "select 2"]],
    [
      "but splits behind a function named begin",
      "create function begin() as 'a'; b",
      ["create function begin() as 'a'", "b"]
    ],
    [
      "but splits behind another kind of object",
      "create view v as begin atomic; b",
      ["create view v as begin atomic", "b"]
    ],
    [
      "but splits when the words come later",
      "explain create function f() begin atomic; b",
      ["explain create function f() begin atomic", "b"]
    ],
    [
      "and forgets it at the end of a statement",
      "create function f() as 'a'; begin atomic; b",
      ["create function f() as 'a'", "begin atomic", "b"]
    ]
  ]
  it.each(split)("%s", (_, text, statements) => assert.deepStrictEqual(textsOf(text), statements))
})

const placesOf = (text: string): ReadonlyArray<readonly [number, number, number]> =>
  Result.getOrThrow(splitStatements(text)).map(({ offset, line, column }) => [offset, line, column])

describe("tells where a statement begins", () => {
  it("counts lines at LF, CRLF and CR", () => {
    assert.deepStrictEqual(placesOf("a;\n b;\r\n  c;\r   d"), [
      [0, 1, 1],
      [4, 2, 2],
      [10, 3, 3],
      [16, 4, 4]
    ])
  })
  it("counts lines inside of quotes and comments", () => {
    assert.deepStrictEqual(placesOf("a '\n';\n-- x\n/*\r\n*/\nb"), [
      [0, 1, 1],
      [12, 4, 1]
    ])
  })
  it("counts characters, not UTF-16 code units or bytes", () => {
    assert.deepStrictEqual(placesOf("select '😀é';b"), [
      [0, 1, 1],
      [13, 1, 13]
    ])
  })
  it("does not count a byte order mark, nor send it", () => {
    assert.deepStrictEqual(placesOf("\ufeffa;b"), [
      [1, 1, 1],
      [3, 1, 3]
    ])
    assert.deepStrictEqual(textsOf("\ufeffa;b"), ["a", "b"])
  })
})

describe("refuses, with the place and what to do,", () => {
  const cases: ReadonlyArray<readonly [what: string, text: string, message: string]> = [
    [
      "a string without an end",
      "a;\n\nselect 'x', 'it''s",
      "a.sql:3:13: unterminated string: the quote opened here is never closed, add the missing ' (a quote inside a string is '')"
    ],
    [
      "an escape string without an end",
      "select E'\\'",
      "a.sql:1:8: unterminated string: the quote opened here is never closed, add the missing ' (a quote inside a string is '')"
    ],
    [
      "an escape string that ends in a backslash",
      "select E'\\",
      "a.sql:1:8: unterminated string: the quote opened here is never closed, add the missing ' (a quote inside a string is '')"
    ],
    [
      "a quoted identifier without an end",
      'select "a"".b',
      'a.sql:1:8: unterminated quoted identifier: the quote opened here is never closed, add the missing "'
    ],
    [
      "a dollar quote without an end",
      "do $body$ begin; $$ $Body$",
      "a.sql:1:4: unterminated dollar quote: $body$ opened here is never closed, add a second $body$"
    ],
    [
      "a comment without an end, where the outermost begins",
      "select 1;\r\n  /* a /* b */",
      "a.sql:2:3: unterminated comment: the /* opened here is never closed, add the missing */ (comments nest)"
    ],
    [
      "a zero byte, wherever it is",
      "select 1; -- a\0b",
      "a.sql:1:15: zero byte: PostgreSQL takes no text that holds one, save the file as UTF-8"
    ],
    [
      "psql's commands",
      "\\timing on\nselect 1",
      "a.sql:1:1: psql command: \\timing is not SQL, remove it, or run this file with psql"
    ],
    [
      "psql's commands in a line",
      "select 1 \\gset x_",
      "a.sql:1:10: psql command: \\gset is not SQL, end the statement with ; instead"
    ],
    [
      "psql's commands inside of parentheses",
      "select (1 \\g",
      "a.sql:1:11: psql command: \\g is not SQL, end the statement with ; instead"
    ],
    [
      "psql's copy",
      "-- rows\n\\copy t from 'f'",
      "a.sql:2:1: psql command: \\copy is not SQL, use INSERT or SELECT, or COPY with a file on the server"
    ],
    ["psql's include", "\\i b.sql", "a.sql:1:1: psql command: \\i is not SQL, run that file as one of its own"],
    ["psql's variables", "\\set a 1", "a.sql:1:1: psql command: \\set is not SQL, write the value where it is used"],
    ["psql's semicolon", "a\\;b", "a.sql:1:2: psql command: \\; is not SQL, write the ; alone"],
    ["a lone backslash", "a \\", "a.sql:1:3: psql command: \\ is not SQL, remove it, or run this file with psql"],
    [
      "COPY FROM STDIN",
      "copy t (a, b) From StdIn with (format csv);\n1,it's\n\\.\n",
      "a.sql:1:20: COPY FROM STDIN: a file of statements has no place for the rows, use INSERT, or COPY FROM a file on the server"
    ],
    [
      "COPY TO STDOUT",
      "/* a */ COPY (select 1 from stdin) TO /* b */ STDOUT",
      "a.sql:1:47: COPY TO STDOUT: a statement of a file returns rows and no copy stream, use SELECT, or COPY TO a file on the server"
    ]
  ]
  it.each(cases)("%s", (_, text, message) => assert.strictEqual(messageOf(text), message))

  it.each([
    ["a backslash in quotes and comments", "select '\\g', \"\\g\", $$\\g$$ /* \\g */ -- \\g"],
    ["COPY with a file", "copy t from '/stdin'; copy t to program 'stdout'"],
    [
      "tables and columns named stdin and stdout",
      "select stdout from stdin; copy stdin from 'a'; copy (select a from stdin) to 'a'"
    ]
  ])("but not %s", (_, text) => assert.strictEqual(messageOf(text), "no error"))
})

const piecesOf = (text: string, endsStatement: (comment: string) => boolean) =>
  Result.getOrThrow(splitPieces(text, "a.sql", endsStatement)).map((piece) =>
    piece._tag === "Comment" ? `${piece.place.line}:${piece.place.column} ${piece.text}` : piece.statement.text
  )
const never = () => false
const isCut = (comment: string) => comment === "-- cut"

describe("gives the comments", () => {
  it("that have a line of their own", () => {
    assert.deepStrictEqual(piecesOf("-- a\n \t-- b\nx; -- c\n/* d */ -- e\n-- f", never), [
      "1:1 -- a",
      "2:3 -- b",
      "x",
      "5:1 -- f"
    ])
  })
  it("and says which of them stand inside of a statement", () => {
    const text = "-- a\nx\n-- b\ny (\n-- c\n);\n-- d\n/* e */\n-- f\nz\n-- g"
    const comments = Result.getOrThrow(splitPieces(text, "a.sql", never)).filter((piece) => piece._tag === "Comment")
    assert.deepStrictEqual(
      comments.map(({ inside, text: comment }) => [comment, inside]),
      [
        ["-- a", false],
        ["-- b", true],
        ["-- d", false],
        ["-- f", false],
        ["-- g", true]
      ]
    )
  })
  it("and ends a statement at one that asks for it", () => {
    assert.deepStrictEqual(piecesOf("x\n-- a\n  -- cut\ny", isCut), ["2:1 -- a", "x", "3:3 -- cut", "y"])
  })
  it("and leaves a block comment before such a one out of the next statement", () => {
    assert.deepStrictEqual(piecesOf("/* a */\n-- cut\nx", isCut), ["2:1 -- cut", "x"])
  })
  it("but does not end it inside of quotes, comments, parentheses and bodies", () => {
    const texts = [
      "x '\n-- cut\n'",
      "x $$\n-- cut\n$$",
      "x /*\n-- cut\n*/ y",
      "x (\n-- cut\n)",
      "create function f() begin atomic;\n-- cut\nend"
    ]
    assert.deepStrictEqual(
      texts.map((text) => piecesOf(text, isCut)),
      texts.map((text) => [text])
    )
  })
  it("and does end it behind a ; where a parenthesis was never closed", () => {
    assert.deepStrictEqual(piecesOf("select (1;\n-- cut\ny", isCut), ["select (1;", "2:1 -- cut", "y"])
  })
})
