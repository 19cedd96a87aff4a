//! How the errors of a scenario look: what a person sees who made several mistakes at once.

use twinwire::scenario::Document;

#[test]
fn all_errors_come_at_once_each_with_its_line_and_a_mark() {
    let text = "name = \"two words\"\nsede = 4\n\n[[load]]\nname = \"a\"\nmodel = \"opne\"\nduration = \"5 parsecs\"\n\n\
                [[clients]]\nrole = \"guest\"\ncount = \"many\"\nmix = { putt = 3, get = -1 }\n\n\
                [[thresholds]]\nmetric = \"rate\"\nwhere = { load = \"b\" }\nmin = \"3ms\"\n";
    let errors = Document::parse("x.toml", text, &[]).unwrap_err();
    insta::assert_snapshot!(errors, @r#"
    error: not a good name
     --> x.toml:1:8
      |
    1 | name = "two words"
      |        ^^^^^^^^^^^ a name has only letters (A-Z, a-z), digits, `-`, `_` and `.`

    error: unknown key `sede`
     --> x.toml:2:1
      |
    2 | sede = 4
      | ^^^^ did you mean `seed`?

    error: unknown value "opne"
     --> x.toml:6:9
      |
    6 | model = "opne"
      |         ^^^^^^ did you mean "open"?

    error: "5 parsecs" is not a duration
     --> x.toml:7:12
      |
    7 | duration = "5 parsecs"
      |            ^^^^^^^^^^^ write it like "500ms", "5s" or "1m 30s"

    error: missing key `name`
     --> x.toml:9:1
      |
    9 | [[clients]]
      | ^^^^^^^^^^^ `name` is required here
      = help: Unique among the groups

    error: expected a whole number, found text
      --> x.toml:11:9
       |
    11 | count = "many"
       |         ^^^^^^

    error: unknown key `putt`
      --> x.toml:12:9
       |
    12 | mix = { putt = 3, get = -1 }
       |         ^^^^ did you mean `put`?

    error: -1 is out of bounds
      --> x.toml:12:25
       |
    12 | mix = { putt = 3, get = -1 }
       |                         ^^ allowed are 0 to 1,000,000

    error: the scenario has no load `b`
      --> x.toml:16:18
       |
    16 | where = { load = "b" }
       |                  ^^^ there is `a`

    error: this metric's bound is a number
      --> x.toml:17:7
       |
    17 | min = "3ms"
       |       ^^^^^ a plain number expected, without a unit
    "#);
}

#[test]
fn text_that_is_no_toml_is_shown_where_it_breaks() {
    let errors =
        Document::parse("x.toml", "name = \"x\"\nload = [\n  { name = }\nseed == 1\n", &[]).unwrap_err();
    insta::assert_snapshot!(errors, @r#"
    error: invalid literal string, expected `'`
     --> x.toml:3:12
      |
    3 |   { name = }
      |            ^ this is not valid TOML

    error: missing comma between array elements, expected `,`
     --> x.toml:4:1
      |
    4 | seed == 1
      | ^ this is not valid TOML
    "#);
}
